import "./graphile.ts";
import { loadOneWithPgClient, type PgClient, sideEffectWithPgClient } from "postgraphile/@dataplan/pg";
import { context, get, lambda, object, type Step, sideEffect } from "postgraphile/grafast";
import { GraphQLError } from "postgraphile/graphql";
import { extendSchema, gql } from "postgraphile/utils";
import { openInvitationEmail } from "../crypto/invitations.ts";
import type { KeyProvider } from "../crypto/keys.ts";
import { isEmailAddress } from "../email_address.ts";
import { makeInvitation } from "../tenants/invite.ts";

interface Invited {
  id: string;
  token: string;
  expiresAt: string;
  email: string;
  tenantId: number;
}

/** Whom to invite; `target` is the role of a member, or the slug of the tenant that gets an admin. */
interface Invite {
  keys: KeyProvider;
  tenantId: number | null;
  email: string;
  target: string;
}

/**
 * Inviting takes an address, which is encrypted here before the database sees it, and answers with a token,
 * which the database never sees. What may be done is decided by the functions in SQL that this calls.
 */
export const InvitationsPlugin = extendSchema((build) => {
  const { invitations } = build.input.pgRegistry.pgResources;
  const executor = invitations?.executor;
  if (!invitations || !executor) throw new Error("The table invitations is not exposed.");
  return {
    typeDefs: gql`
      extend type Mutation {
        """
        Invites somebody to join. The token that opens the invitation is sent to the address, and answered here:
        it is shown this once. An earlier invitation of the same address that is still open is replaced.
        """
        inviteMember(
          """
          Whom to invite, and what to be.
          """
          input: InviteMemberInput!
        ): InviteMemberPayload

        """
        Invites somebody to be an admin of a tenant: its first one, or another where none is left. The token that
        opens the invitation is sent to the address, and answered here: it is shown this once. For operators.
        """
        inviteAdmin(
          """
          Whom to invite, and to which tenant.
          """
          input: InviteAdminInput!
        ): InviteAdminPayload
      }

      """
      Whom to invite, and what to be.
      """
      input InviteMemberInput {
        """
        The e-mail address, 254 characters at most. It is kept encrypted.
        """
        email: String!
        """
        What whoever accepts it becomes: CUSTOMER, TELLER, ACCOUNTANT, AUDITOR or ADMIN.
        """
        role: MemberRole!
      }

      """
      Somebody is invited.
      """
      type InviteMemberPayload {
        """
        The invitation.
        """
        invitation: Invitation
        """
        What opens the invitation. It cannot be asked for again.
        """
        token: String!
      }

      """
      Whom to invite, and to which tenant.
      """
      input InviteAdminInput {
        """
        The short name of the tenant.
        """
        slug: String!
        """
        The e-mail address, 254 characters at most. It is kept encrypted.
        """
        email: String!
      }

      """
      An admin is invited.
      """
      type InviteAdminPayload {
        """
        What opens the invitation. It cannot be asked for again.
        """
        token: String!
        """
        Until when it can be accepted.
        """
        expiresAt: Datetime!
      }

      extend type Invitation {
        """
        The e-mail address that was invited. For admins.
        """
        email: String
      }
    `,
    objects: {
      Mutation: {
        plans: {
          inviteMember: (_$root, fieldArgs) =>
            thenSend(sideEffectWithPgClient(executor, inviteOf(fieldArgs.getRaw("input"), "role"), inviteMember)),
          inviteAdmin: (_$root, fieldArgs) =>
            thenSend(sideEffectWithPgClient(executor, inviteOf(fieldArgs.getRaw("input"), "slug"), inviteAdmin)),
        },
      },
      InviteMemberPayload: {
        plans: {
          invitation: ($invited) =>
            invitations.get({ tenant_id: context().get("tenantId"), id: get($invited, "id") as Step }),
        },
      },
      Invitation: {
        plans: {
          email($invitation) {
            const $ciphertext = loadOneWithPgClient(executor, $invitation.get("id") as Step<string>, readEmails);
            const $place = object({
              keys: context().get("fieldKeys"),
              tenantId: context().get("tenantId"),
              invitationId: $invitation.get("id"),
              ciphertext: $ciphertext,
            });
            return lambda($place as Step, openEmail);
          },
        },
      },
    },
  };
}, "InvitationsPlugin");

/** Once the invitation is committed it is sent to whom it is for; who invites has the token all the same. */
function thenSend($invited: Step<Invited>): Step<Invited> {
  return sideEffect([$invited, context().get("sendMail")] as const, ([invited, sendMail]) => {
    const { email, token, expiresAt, tenantId } = invited;
    sendMail({ kind: "invitation", to: email, token, expiresAt: new Date(expiresAt), facts: {}, tenantId });
    return invited;
  });
}

function inviteOf($input: Step, target: string): Step<Invite> {
  return object({
    keys: context().get("fieldKeys"),
    tenantId: context().get("tenantId"),
    email: get($input, "email"),
    target: get($input, target),
  }) as unknown as Step<Invite>;
}

async function inviteMember(client: PgClient, { tenantId, ...invited }: Invite): Promise<Invited> {
  if (tenantId === null) throw new GraphQLError("There is no tenant.", { extensions: { code: "LG401" } });
  return invite(
    client,
    { ...invited, tenantId },
    "app_public.invite_member($1::app_public.member_role, $2, $3, $4, $5)",
  );
}

async function inviteAdmin(client: PgClient, invited: Invite): Promise<Invited> {
  const { rows } = await client.query<{ id: number }>({
    text: "select id from app_public.tenants where slug = $1",
    values: [invited.target],
  });
  // The function refuses a tenant that is not there; until then any number will do.
  return invite(client, { ...invited, tenantId: rows[0]?.id ?? 0 }, "app_public.invite_admin($1, $2, $3, $4, $5)");
}

async function invite(
  client: PgClient,
  { keys, tenantId, email, target }: Invite & { tenantId: number },
  call: string,
): Promise<Invited> {
  if (!isEmailAddress(email)) {
    throw new GraphQLError("That is no e-mail address.", {
      extensions: { code: "LG160", detail: { field: "email", rule: "an e-mail address of at most 254 characters" } },
    });
  }
  const { id, token, tokenHash, emailCiphertext, emailIndex } = await makeInvitation(keys, { tenantId, email });
  const { rows } = await client.query<{ expiresAt: string }>({
    text: `select to_json(expires_at) #>> '{}' as "expiresAt" from ${call}`,
    values: [target, id, tokenHash, emailCiphertext, emailIndex],
  });
  return { id, token, expiresAt: String(rows[0]?.expiresAt), email: email.trim(), tenantId };
}

/** One query for all invitations of a page. */
async function readEmails(client: PgClient, ids: readonly string[]): Promise<(Buffer | null)[]> {
  const { rows } = await client.query<{ invitation_id: string; email_ciphertext: Buffer }>({
    text: "select invitation_id, email_ciphertext from app_hidden.read_invitation_emails($1::uuid[])",
    values: [ids],
  });
  const found = new Map(rows.map((row) => [row.invitation_id, row.email_ciphertext]));
  return ids.map((id) => found.get(id) ?? null);
}

interface SealedPlace {
  keys: KeyProvider;
  tenantId: number;
  invitationId: string;
  ciphertext: Buffer | null;
}

function openEmail({ keys, ciphertext, ...place }: SealedPlace): Promise<string> | null {
  return ciphertext === null ? null : openInvitationEmail(keys, place, ciphertext);
}
