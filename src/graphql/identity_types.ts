import "./graphile.ts";
import { gql } from "postgraphile/utils";

/** What IdentityPlugin adds to the schema. */
export const identityTypes = gql`
  extend type Mutation {
    """
    Asks to join books that are open to strangers, or by an invitation. The answer is the same whether the
    address has an account or not: a message with a token for \`confirmRegistration\` is sent to it. Who comes
    by an invitation that was sent to this very address is signed in.
    """
    register(
      """
      Who wants to join, and what.
      """
      input: RegisterInput!
    ): RegisterPayload

    """
    Confirms a registration with the token that was sent and the password, and signs in.
    """
    confirmRegistration(
      """
      The token and the password.
      """
      input: ConfirmRegistrationInput!
    ): ConfirmRegistrationPayload

    """
    Accepts an invitation in the name of the caller. To work in those books, sign in to them.
    """
    acceptInvitation(
      """
      The invitation.
      """
      input: AcceptInvitationInput!
    ): AcceptInvitationPayload

    """
    Signs in with a password. Who belongs to several books and names none is told which they are, and asks again.
    """
    login(
      """
      Who signs in, and where.
      """
      input: LoginInput!
    ): LoginPayload

    """
    Exchanges a refresh token for a new one and a new access token. The old one is good no more: whoever uses it
    again ends the session.
    """
    refresh(
      """
      The refresh token.
      """
      input: RefreshInput!
    ): RefreshPayload

    """
    Ends a session: that of the refresh token, or else that of the request.
    """
    logout(
      """
      The refresh token, if the access token may have expired.
      """
      input: LogoutInput!
    ): DonePayload

    """
    Changes the password of the caller, and ends all of their other sessions.
    """
    changePassword(
      """
      Both passwords.
      """
      input: ChangePasswordInput!
    ): DonePayload

    """
    Has a token for \`resetPassword\` sent to an address. The answer is the same if nobody has it.
    """
    requestPasswordReset(
      """
      The address.
      """
      input: RequestPasswordResetInput!
    ): DonePayload

    """
    Sets a new password with a token that was sent, and ends all sessions.
    """
    resetPassword(
      """
      The token and the new password.
      """
      input: ResetPasswordInput!
    ): DonePayload

    """
    Begins to set up a second factor: answers with a secret for an authenticator, which is shown this once.
    """
    enrolSecondFactor(
      """
      The password of the caller.
      """
      input: PasswordInput!
    ): EnrolSecondFactorPayload

    """
    Activates the second factor with a first code. From now on signing in asks for one. The recovery codes, each
    good once in place of a code, are shown this once.
    """
    activateSecondFactor(
      """
      A code of the authenticator.
      """
      input: CodeInput!
    ): ActivateSecondFactorPayload

    """
    Shows the second factor in this session, for what asks for it (\`LG404\`, \`LG406\`). For amounts it counts for
    five minutes.
    """
    confirmSecondFactor(
      """
      A code of the authenticator, or a recovery code.
      """
      input: CodeInput!
    ): ConfirmSecondFactorPayload

    """
    Does without a second factor from now on. Takes one that was shown within five minutes (\`LG483\`).
    """
    disableSecondFactor(
      """
      The password of the caller.
      """
      input: PasswordInput!
    ): DonePayload

    """
    Makes ten new recovery codes, which are shown this once. The old ones are good no more. Takes a second factor that
    was shown within five minutes (\`LG483\`).
    """
    renewRecoveryCodes(
      """
      The password of the caller.
      """
      input: PasswordInput!
    ): RenewRecoveryCodesPayload
  }

  """
  Who wants to join, and what.
  """
  input RegisterInput {
    """
    The e-mail address.
    """
    email: String!
    """
    The password: 12 to 256 characters that others would not think of. Who has an account gives the one they have.
    """
    password: String!
    """
    The name for people, 1 to 200 characters.
    """
    name: String!
    """
    The short name of the books, if they are open to strangers.
    """
    tenant: String
    """
    Or the token of an invitation.
    """
    invitation: String
  }

  """
  What came of asking to join.
  """
  type RegisterPayload {
    """
    Whether it waits for \`confirmRegistration\`.
    """
    isConfirmationSent: Boolean!
    """
    The session, of who came by an invitation to this address.
    """
    signedIn: SignedIn
    """
    The books to choose from; null if there is a session.
    """
    choices: [TenantChoice!]
  }

  """
  What confirms a registration.
  """
  input ConfirmRegistrationInput {
    """
    The token that was sent.
    """
    token: String!
    """
    The password that was chosen; that of the account, if the address had one.
    """
    password: String!
    """
    A code, if the account has a second factor.
    """
    code: String
  }

  """
  The registration is confirmed.
  """
  type ConfirmRegistrationPayload {
    """
    The session.
    """
    signedIn: SignedIn
  }

  """
  An invitation to accept.
  """
  input AcceptInvitationInput {
    """
    The token of the invitation.
    """
    token: String!
  }

  """
  The invitation is accepted.
  """
  type AcceptInvitationPayload {
    """
    The books that the caller belongs to from now on.
    """
    accepted: TenantChoice
  }

  """
  Who signs in, and where.
  """
  input LoginInput {
    """
    The e-mail address.
    """
    email: String!
    """
    The password.
    """
    password: String!
    """
    The short name of the books. May be left out by who belongs to no more than one, and by operators.
    """
    tenant: String
    """
    A code of the authenticator, or a recovery code, if the account has a second factor.
    """
    code: String
  }

  """
  What came of signing in: a session, or books to choose from.
  """
  type LoginPayload {
    """
    The session.
    """
    signedIn: SignedIn
    """
    The books to choose from: name one, and sign in again. Null if there is a session.
    """
    choices: [TenantChoice!]
  }

  """
  A session that is open, and what a client needs of it.
  """
  type SignedIn {
    """
    What goes with each request: \`Authorization: Bearer …\`.
    """
    accessToken: String!
    """
    For how many seconds the access token is good.
    """
    expiresIn: Int!
    """
    What the next access token is asked for with, once.
    """
    refreshToken: String!
    """
    Until when the refresh token is good.
    """
    refreshTokenExpiresAt: Datetime!
    """
    The id of the user.
    """
    userId: UUID!
    """
    The id of the session.
    """
    sessionId: UUID!
    """
    The short name of the books; null for an operator.
    """
    tenant: String
    """
    What the session acts as.
    """
    role: MemberRole!
    """
    When the second factor was shown in the session last.
    """
    secondFactorAt: Datetime
  }

  """
  Books that a person belongs to.
  """
  type TenantChoice {
    """
    The short name, to sign in with.
    """
    tenant: String!
    """
    The name for people.
    """
    name: String!
    """
    What the person is to them.
    """
    role: MemberRole!
  }

  """
  A refresh token.
  """
  input RefreshInput {
    """
    The refresh token that came last.
    """
    refreshToken: String!
  }

  """
  The session goes on.
  """
  type RefreshPayload {
    """
    The session, with new tokens.
    """
    signedIn: SignedIn
  }

  """
  Which session is to end.
  """
  input LogoutInput {
    """
    The refresh token; that of the request if left out.
    """
    refreshToken: String
  }

  """
  The old password and the new one.
  """
  input ChangePasswordInput {
    """
    The password of now.
    """
    currentPassword: String!
    """
    The new password: 12 to 256 characters that others would not think of.
    """
    newPassword: String!
  }

  """
  Whose password is to be reset.
  """
  input RequestPasswordResetInput {
    """
    The e-mail address.
    """
    email: String!
  }

  """
  What resets a password.
  """
  input ResetPasswordInput {
    """
    The token that was sent.
    """
    token: String!
    """
    The new password: 12 to 256 characters that others would not think of.
    """
    newPassword: String!
  }

  """
  The password of the caller.
  """
  input PasswordInput {
    """
    The password.
    """
    password: String!
  }

  """
  A one-time password.
  """
  input CodeInput {
    """
    The code.
    """
    code: String!
  }

  """
  It is done.
  """
  type DonePayload {
    """
    True: what fails is an error.
    """
    isDone: Boolean!
  }

  """
  A second factor that waits for its first code.
  """
  type EnrolSecondFactorPayload {
    """
    The secret for an authenticator, in base32.
    """
    secret: String!
    """
    The same as the address that a QR code holds.
    """
    uri: String!
  }

  """
  The second factor is active.
  """
  type ActivateSecondFactorPayload {
    """
    Ten recovery codes, each good once.
    """
    recoveryCodes: [String!]!
    """
    When the second factor was shown in this session: now.
    """
    secondFactorAt: Datetime!
  }

  """
  The second factor was shown.
  """
  type ConfirmSecondFactorPayload {
    """
    When the second factor was shown in this session: now.
    """
    secondFactorAt: Datetime!
  }

  """
  There are new recovery codes.
  """
  type RenewRecoveryCodesPayload {
    """
    Ten recovery codes, each good once.
    """
    recoveryCodes: [String!]!
  }
`;
