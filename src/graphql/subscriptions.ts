import "./graphile.ts";
import { context, get, lambda, listen, object, type Step } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import { type EventContext, type EventKind, type LedgerEvent, makeLedgerEvents } from "./ledger_events.ts";

/**
 * Live updates. The topic is made from the verified token, never from an argument, so a subscriber can
 * only listen to its own tenant. A notification holds ids alone: which of them the subscriber may see is
 * asked under its own role, and the rows are read back under it too.
 */
export const SubscriptionsPlugin = extendSchema((build) => {
  const { transactions, accounts, events, notifications, payments } = build.input.pgRegistry.pgResources;
  if (!transactions || !accounts || !events || !notifications || !payments) {
    throw new Error("A table that is subscribed to is not exposed.");
  }
  return {
    typeDefs: gql`
      extend type Subscription {
        """
        Each transaction of the books from now on, soon after it was posted, in the order in which the database
        recorded them. A customer gets those on their own accounts. Each is told once to every subscription; what
        is posted while none is open is not told later, so read "transactions" after subscribing.
        """
        transactionPosted: TransactionPostedEvent

        """
        Each change of the balances of an account from now on: of one account, or of all that the caller sees.
        Changes in quick succession may be told as one.
        """
        balanceChanged(
          """
          The id of the account; all accounts if left out.
          """
          accountId: UUID
        ): BalanceChangedEvent

        """
        Each event of the stream from now on, in the order of its numbers, for those who run the books. What happens
        while no subscription is open is not told later: read \`events\` after the last number that came.
        """
        eventOccurred: EventOccurredEvent
        """
        Each message to the caller that is shown in the app, from now on.
        """
        notificationReceived: NotificationReceivedEvent

        """
        Each payment that moves from now on, soon after it did: one of them, or all that the caller sees. Moves in
        quick succession may be told as one. A customer gets those that touch their own accounts.
        """
        paymentMoved(
          """
          The id of the payment; all payments if left out.
          """
          paymentId: UUID
        ): PaymentMovedEvent
      }

      """
      A transaction was posted.
      """
      type TransactionPostedEvent {
        """
        The transaction, as the caller may see it.
        """
        transaction: Transaction
      }

      """
      The balances of an account changed.
      """
      type BalanceChangedEvent {
        """
        The account, with the balances of now.
        """
        account: Account
      }

      """
      Something happened.
      """
      type EventOccurredEvent {
        """
        What happened.
        """
        event: Event
      }

      """
      There is a message to the caller.
      """
      type NotificationReceivedEvent {
        """
        The message.
        """
        notification: Notification
      }

      """
      A payment moved.
      """
      type PaymentMovedEvent {
        """
        The payment, as it stands now.
        """
        payment: Payment
      }
    `,
    objects: {
      Subscription: {
        plans: {
          transactionPosted: {
            subscribePlan: () => listenTo("transactions"),
            plan: ($event: Step) => $event,
          },
          balanceChanged: {
            subscribePlan: (_$root, fieldArgs) => listenTo("balances", fieldArgs.getRaw("accountId")),
            plan: ($event: Step) => $event,
          },
          eventOccurred: {
            subscribePlan: () => listenTo("events"),
            plan: ($event: Step) => $event,
          },
          notificationReceived: {
            subscribePlan: () => listenTo("notifications"),
            plan: ($event: Step) => $event,
          },
          paymentMoved: {
            subscribePlan: (_$root, fieldArgs) => listenTo("payments", fieldArgs.getRaw("paymentId")),
            plan: ($event: Step) => $event,
          },
        },
      },
      EventOccurredEvent: {
        plans: {
          event: ($event) => events.get({ tenant_id: context().get("tenantId"), id: get($event, "id") as Step }),
        },
      },
      NotificationReceivedEvent: {
        plans: {
          notification: ($event) =>
            notifications.get({ tenant_id: context().get("tenantId"), id: get($event, "id") as Step }),
        },
      },
      TransactionPostedEvent: {
        plans: {
          transaction: ($event) =>
            transactions.get({ tenant_id: context().get("tenantId"), id: get($event, "id") as Step }),
        },
      },
      BalanceChangedEvent: {
        plans: {
          account: ($event) => accounts.get({ tenant_id: context().get("tenantId"), id: get($event, "id") as Step }),
        },
      },
      PaymentMovedEvent: {
        plans: {
          payment: ($event) => payments.get({ tenant_id: context().get("tenantId"), id: get($event, "id") as Step }),
        },
      },
    },
  };
}, "SubscriptionsPlugin");

/** Listens for events that the subscriber may see. Its plan runs once, when the subscription begins. */
function listenTo(kind: EventKind, $onlyId?: Step<string | null | undefined>): Step {
  const $subscriber = lambda(
    object({ context: context() as unknown as Step<EventContext>, ...($onlyId ? { onlyId: $onlyId } : {}) }),
    ({ context: values, onlyId }: { context: EventContext; onlyId?: string | null }) =>
      makeLedgerEvents(values, { kind, onlyId: onlyId ?? null }),
  );
  return listen<Record<string, LedgerEvent>, string, Step<LedgerEvent>>($subscriber, kind);
}
