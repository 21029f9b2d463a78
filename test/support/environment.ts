import vm from "node:vm";
import { TestEnvironment } from "jest-environment-node";

/**
 * Jest's environment for Node.js, in a context whose global object is an ordinary one. Jest's own looks every global
 * up through a proxy, `Object` and `Promise` too: what ran in it took twice the time or more, above all the making of
 * the GraphQL schema, which each file that boots the API does once.
 */
export default class FastEnvironment extends TestEnvironment {
  constructor(...args: ConstructorParameters<typeof TestEnvironment>) {
    const { createContext } = vm;
    vm.createContext = () => createContext(vm.constants.DONT_CONTEXTIFY);
    try {
      super(...args);
    } finally {
      vm.createContext = createContext;
    }
  }
}
