/** Copies a PostgreSQL URL, changing what is given. */
export function withUrl(
  url: string,
  change: { user?: string; password?: string; database?: string; options?: string; applicationName?: string },
): string {
  const copy = new URL(url);
  if (change.user !== undefined) copy.username = encodeURIComponent(change.user);
  if (change.password !== undefined) copy.password = encodeURIComponent(change.password);
  if (change.database !== undefined) copy.pathname = `/${encodeURIComponent(change.database)}`;
  if (change.options !== undefined) copy.searchParams.set("options", change.options);
  if (change.applicationName !== undefined) copy.searchParams.set("application_name", change.applicationName);
  return copy.toString();
}

/** The database that a URL names. */
export function databaseOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1));
}

/** A URL for people and logs: the password is left out. */
export function withoutPassword(url: string): string {
  const copy = new URL(url);
  copy.password = "";
  return copy.toString();
}
