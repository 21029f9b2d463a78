import type pg from "pg";
import type { Caller } from "./caller.ts";

/** Calls one of the functions of app_hidden that authenticate, in a database transaction of its own. */
export type CallDatabase = <Row extends object>(
  caller: Caller,
  name: AuthenticationFunction,
  values: unknown[],
) => Promise<Row[]>;

export type AuthenticationFunction =
  | "accept_own_invitation"
  | "activate_second_factor"
  | "api_key_secrets"
  | "begin_login"
  | "begin_reauthentication"
  | "begin_registration"
  | "change_password"
  | "complete_registration"
  | "confirm_second_factor"
  | "direct_words"
  | "disable_second_factor"
  | "end_session"
  | "enrol_second_factor"
  | "find_invitation"
  | "find_open_tenant"
  | "find_password_reset"
  | "find_provider_secrets"
  | "find_registration"
  | "linked_receipt"
  | "open_login"
  | "record_failed_login"
  | "renew_recovery_codes"
  | "request_password_reset"
  | "reset_password"
  | "rotate_refresh_token"
  | "take_provider_message"
  | "use_api_key";

const setConfigSql =
  "select pg_catalog.set_config(el->>0, el->>1, true) from pg_catalog.json_array_elements($1::json) el";

/**
 * The calls, as the role that no request of GraphQL has, with the context of the caller, all four statements
 * sent at once. No connection is held while a password is hashed. The pool must have been made with
 * `pipeline: true`.
 */
export function callAsAuthenticator(pool: pg.Pool): CallDatabase {
  return async <Row extends object>(caller: Caller, name: AuthenticationFunction, values: unknown[]) => {
    const client = await pool.connect();
    let broken: Error | undefined;
    try {
      const parameters = values.map((_value, index) => `$${index + 1}`).join(", ");
      const answers = [
        client.query("begin; set local role tallystick_authenticator; set local statement_timeout = '10s'"),
        client.query({ name: "tallystick_settings", text: setConfigSql, values: [JSON.stringify(settingsOf(caller))] }),
        client.query<Row>({ name, text: `select * from app_hidden.${name}(${parameters})`, values }),
        client.query("commit"),
      ] as const;
      // All are waited for, so that none fails unseen; what comes after a failure does nothing.
      const outcomes = await Promise.allSettled(answers);
      if (outcomes.at(-1)?.status === "rejected") broken = new Error("The database transaction did not end.");
      const failure = outcomes.find((outcome) => outcome.status === "rejected");
      if (failure) throw failure.reason;
      return (await answers[2]).rows;
    } finally {
      client.release(broken);
    }
  };
}

function settingsOf({ claims, address, requestId }: Caller): [string, string][] {
  return [
    ["tallystick.tenant_id", String(claims?.tenantId ?? "")],
    ["tallystick.user_id", claims?.userId ?? ""],
    ["tallystick.session_id", claims?.sessionId ?? ""],
    ["tallystick.request_id", requestId],
    ["tallystick.address", address],
  ];
}
