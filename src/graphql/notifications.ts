import "./graphile.ts";
import { loadOneWithPgClient, sideEffectWithPgClient } from "postgraphile/@dataplan/pg";
import { context, get, object, type Step } from "postgraphile/grafast";
import { extendSchema, gql } from "postgraphile/utils";
import { compose, sampleView, type Words } from "../notifications/compose.ts";
import {
  type Channel,
  checkTemplate,
  type Rendered,
  type Template,
  TemplateError,
} from "../notifications/templates.ts";
import { type PgQueries, refusalError } from "./request_facts.ts";

/**
 * The words of messages are templates, which are read here and not in SQL: whoever sets one is told what is wrong
 * with it, before it is kept. Who may, the functions in SQL behind this decide.
 */
export const NotificationsPlugin = extendSchema((build) => {
  const { notification_templates: templates } = build.input.pgRegistry.pgResources;
  const executor = templates?.executor;
  if (!templates || !executor) throw new Error("The table notification_templates is not exposed.");
  return {
    typeDefs: gql`
      extend type Mutation {
        """
        Sets the words of a message, in place of those that come with the ledger: a Mustache template. It is tried
        on a sample first, and refused with LG740 if it names what there is not, or puts a value in unescaped.
        """
        setNotificationTemplate(
          """
          Which message, and its words.
          """
          input: SetNotificationTemplateInput!
        ): SetNotificationTemplatePayload
      }

      """
      Words of a message.
      """
      input SetNotificationTemplateInput {
        """
        The kind of message: one of notificationKinds.
        """
        kind: String!
        """
        The channel that they are for.
        """
        channel: NotificationChannel!
        """
        The language that they are in, such as de or de-AT.
        """
        language: String!
        """
        The subject, 1 to 200 characters on one line: of mails and of what is shown in the app, and of nothing else.
        """
        subject: String
        """
        The words, 1 to 20,000 characters: HTML for mails, in which values are escaped, and otherwise text.
        """
        body: String!
      }

      """
      The words are set.
      """
      type SetNotificationTemplatePayload {
        """
        The template.
        """
        notificationTemplate: NotificationTemplate
      }

      extend type Query {
        """
        What a message looks like, made from a sample: with words that are not set yet, or else with those that are
        in use.
        """
        previewNotification(
          """
          The kind of message: one of notificationKinds.
          """
          kind: String!
          """
          The channel.
          """
          channel: NotificationChannel!
          """
          The language, such as de or de-AT.
          """
          language: String!
          """
          The subject to try.
          """
          subject: String
          """
          The words to try; those that are in use if left out.
          """
          body: String
        ): NotificationPreview
      }

      """
      What a message looks like.
      """
      type NotificationPreview {
        """
        The subject; null for channels that have none.
        """
        subject: String
        """
        The words as text.
        """
        text: String!
        """
        The words as HTML; null but for mails.
        """
        html: String
      }
    `,
    objects: {
      Mutation: {
        plans: {
          setNotificationTemplate: (_$root, fieldArgs) =>
            sideEffectWithPgClient(executor, fieldArgs.getRaw("input") as Step<TemplateInput>, (client, input) =>
              setTemplate(client as PgQueries, input),
            ),
        },
      },
      SetNotificationTemplatePayload: {
        plans: {
          notificationTemplate($set) {
            const [$kind, $channel, $language] = ["kind", "channel", "language"].map((name) => get($set, name));
            return templates.get({
              tenant_id: context().get("tenantId"),
              kind: $kind as Step,
              channel: $channel as Step,
              language: $language as Step,
            });
          },
        },
      },
      Query: {
        plans: {
          previewNotification(_$root, fieldArgs) {
            const names = ["kind", "channel", "language", "subject", "body"];
            const $input = object(Object.fromEntries(names.map((name) => [name, fieldArgs.getRaw(name)])));
            return loadOneWithPgClient(executor, $input as unknown as Step<PreviewInput>, (client, inputs) =>
              Promise.all(inputs.map((input) => preview(client as PgQueries, input))),
            );
          },
        },
      },
    },
  };
}, "NotificationsPlugin");

interface TemplateInput {
  kind: string;
  channel: Channel;
  language: string;
  subject?: string | null;
  body: string;
}

type PreviewInput = Omit<TemplateInput, "body"> & { body?: string | null };

interface Sample {
  words: Words;
  sample: Words["sample"];
  tenantName: string;
  timeZone: string;
}

async function readSample(client: PgQueries, { kind, channel, language }: PreviewInput): Promise<Sample> {
  const { rows } = await client.query<Sample>({
    text: `select words, sample, tenant_name as "tenantName", time_zone as "timeZone"
      from app_hidden.notification_sample($1, $2::app_public.notification_channel, $3)`,
    values: [kind, channel, language],
  });
  if (!rows[0]) throw new Error("The database answered with no row.");
  return rows[0];
}

async function setTemplate(client: PgQueries, input: TemplateInput): Promise<TemplateInput> {
  const template = { subject: input.subject ?? null, body: input.body };
  check(template, await readSample(client, input), input.language);
  await client.query({
    text: "select app_hidden.set_notification_template($1, $2::app_public.notification_channel, $3, $4, $5)",
    values: [input.kind, input.channel, input.language, template.subject, template.body],
  });
  return input;
}

async function preview(client: PgQueries, input: PreviewInput): Promise<Rendered> {
  const found = await readSample(client, input);
  const { words, sample } = found;
  const reader = readerOf(found);
  const more = sampleView(sample, { ...reader, language: input.language });
  const message = { channel: input.channel, facts: sample, reader };
  const receiptUrl = more["receiptUrl"] === undefined ? {} : { receiptUrl: more["receiptUrl"] };
  if (input.body == null) return compose({ ...message, words, more: receiptUrl });
  const template = { subject: input.subject ?? null, body: input.body };
  check(template, found, input.language);
  const tried = { ...template, language: input.language, isOwn: false };
  return compose({ ...message, words: { template: tried, fallback: null, sample }, more: receiptUrl });
}

/** Refuses words that cannot be used, with what is wrong with them. */
function check(template: Template, found: Sample, language: string): void {
  try {
    checkTemplate(template, sampleView(found.sample, { ...readerOf(found), language }));
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw refusalError("LG740", "The template cannot be used.", { field: error.field, fault: error.message });
  }
}

function readerOf({ tenantName, timeZone }: Sample): { name: string; tenantName: string; timeZone: string } {
  return { name: "Ada Lovelace", tenantName, timeZone };
}
