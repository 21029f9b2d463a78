import { type CookieOptions, type Request, type RequestHandler, type Response, Router } from "express";
import { z } from "zod";
import { describeDatabaseError } from "../graphql/mask_error.ts";
import type { RefusalCatalog } from "../graphql/refusals.ts";
import type { Caller } from "../identity/caller.ts";
import type { Identity } from "../identity/identity.ts";
import { RefusedError } from "../identity/refused.ts";
import type { SignedIn, SignInResult } from "../identity/tools.ts";
import { sendRefusal } from "./error_response.ts";

export const authPath = "/api/v1/auth";

export interface AuthRoutesOptions {
  identity: Identity;
  refusals: RefusalCatalog;
  callerOf: (request: Request) => Caller;
}

const text = z.string().max(4096);
const bodies = {
  register: z.object({
    email: text,
    password: text,
    name: text,
    tenant: text.nullish(),
    invitation: text.nullish(),
    cookie: z.boolean().nullish(),
  }),
  confirm: z.object({ token: text, password: text, code: text.nullish(), cookie: z.boolean().nullish() }),
  login: z.object({
    email: text,
    password: text,
    tenant: text.nullish(),
    code: text.nullish(),
    cookie: z.boolean().nullish(),
  }),
  refresh: z.object({ refreshToken: text.nullish() }),
  logout: z.object({ refreshToken: text.nullish() }),
};

/** What a refusal is in HTTP; whatever is not here is a bad request. */
const statusOf: Record<string, number> = {
  LG360: 409,
  LG363: 503,
  LG372: 404,
  LG373: 409,
  LG374: 410,
  LG401: 401,
  LG402: 403,
  LG403: 403,
  LG462: 429,
  LG470: 401,
  LG471: 429,
  LG472: 403,
  LG473: 401,
  LG474: 401,
  LG476: 503,
  LG478: 401,
  LG480: 403,
};

/**
 * Signing in and out for clients without GraphQL: the same operations, as POST requests with a JSON body, which
 * no form of another page can send. The body has been read.
 */
export function authRoutes({ identity, refusals, callerOf }: AuthRoutesOptions): Router {
  const router = Router();
  const answer = (work: (request: Request, response: Response) => Promise<void>): RequestHandler => {
    return async (request, response, next) => {
      // Tokens are for the client alone.
      response.setHeader("Cache-Control", "no-store");
      try {
        await work(request, response);
      } catch (error) {
        const known = asRefusal(refusals, error);
        if (!known) return next(error);
        const wait = known.detail["retryAfterSeconds"];
        if (typeof wait === "number") response.setHeader("Retry-After", String(Math.max(1, wait)));
        const status = statusOf[known.code] ?? 400;
        if (known.code === "LG478") forgetCookie(response);
        sendRefusal(response, refusals, { status, ...known });
      }
    };
  };

  router.post(
    "/register",
    answer(async (request, response) => {
      const { cookie, ...input } = read(bodies.register, request);
      const result = await identity.register(callerOf(request), input);
      // Nobody is made yet, or nobody may know.
      if (!result.signedIn && !result.choices) response.status(202).json({ status: "confirmation_sent" });
      else sendResult(response, result, cookie, 201);
    }),
  );
  router.post(
    "/confirm",
    answer(async (request, response) => {
      const { cookie, ...input } = read(bodies.confirm, request);
      sendResult(response, await identity.confirmRegistration(callerOf(request), input), cookie, 201);
    }),
  );
  router.post(
    "/login",
    answer(async (request, response) => {
      const { cookie, ...input } = read(bodies.login, request);
      sendResult(response, await identity.login(callerOf(request), input), cookie, 200);
    }),
  );
  router.post(
    "/refresh",
    answer(async (request, response) => {
      const inBody = read(bodies.refresh, request).refreshToken;
      const refreshToken = inBody ?? cookieOf(request);
      if (refreshToken === undefined) throw new RefusedError("LG478");
      const signedIn = await identity.refresh(callerOf(request), { refreshToken });
      sendSignedIn(response, signedIn, inBody == null, 200);
    }),
  );
  router.post(
    "/logout",
    answer(async (request, response) => {
      const refreshToken = read(bodies.logout, request).refreshToken ?? cookieOf(request);
      await identity.logout(callerOf(request), { refreshToken: refreshToken ?? null });
      forgetCookie(response);
      response.status(204).end();
    }),
  );
  return router;
}

/** The body of a request; LG160 names the field that is wrong. */
function read<Shape extends z.ZodType>(shape: Shape, request: Request): z.infer<Shape> {
  const parsed = shape.safeParse(request.body);
  if (parsed.success) return parsed.data;
  const field = parsed.error.issues[0]?.path.join(".") || "body";
  throw new RefusedError("LG160", { field });
}

function sendResult(
  response: Response,
  { signedIn, choices }: SignInResult,
  cookie: boolean | null | undefined,
  status: number,
): void {
  if (signedIn) sendSignedIn(response, signedIn, cookie === true, status);
  // The password was right: name one of these, and ask again.
  else response.json({ tenants: choices });
}

function sendSignedIn(response: Response, signedIn: SignedIn, asCookie: boolean, status: number): void {
  const { refreshToken, ...rest } = signedIn;
  if (asCookie) {
    response.cookie(cookieName, refreshToken, { ...cookieOptions, expires: signedIn.refreshTokenExpiresAt });
  }
  response.status(status).json({ tokenType: "Bearer", ...rest, ...(asCookie ? {} : { refreshToken }) });
}

/*
 * A browser may keep the refresh token where no script reaches it. It goes back to these routes alone, never
 * from another site, and only over HTTPS (or to localhost).
 */
const cookieName = "__Secure-tallystick-refresh";
const cookieOptions: CookieOptions = { httpOnly: true, secure: true, sameSite: "strict", path: authPath };

function cookieOf(request: Request): string | undefined {
  const pairs = (request.headers.cookie ?? "").split(";").map((pair) => pair.trim());
  return pairs.find((pair) => pair.startsWith(`${cookieName}=`))?.slice(cookieName.length + 1);
}

function forgetCookie(response: Response): void {
  response.clearCookie(cookieName, cookieOptions);
}

function asRefusal(
  refusals: RefusalCatalog,
  error: unknown,
): { code: string; detail: Record<string, unknown> } | undefined {
  if (error instanceof RefusedError) return error;
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return undefined;
  const described = describeDatabaseError(refusals, error as Error & { code: string })?.extensions;
  return described && { code: described.code, detail: described.detail as Record<string, unknown> };
}
