import type { Task } from "graphile-worker";
import { z } from "zod";

const payloadForm = z.object({ tenantId: z.number().int(), messageId: z.uuid() });

/** Lets a message of a payment provider do what it says, once. The database transaction is all there is to it. */
const processMessage: Task = async (payload, helpers) => {
  const { tenantId, messageId } = payloadForm.parse(payload);
  await helpers.query("select app_private.process_provider_message($1, $2)", [tenantId, messageId]);
};

export default processMessage;
