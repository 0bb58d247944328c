// Owns the files that the pages of `/docs` need, all of them from this package and its dependencies.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

/** A file as it is answered. */
interface DocsFile {
  readonly body: Buffer;
  readonly gzip: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

export interface DocsFiles {
  /** Undefined where there is none of that name. */
  get(name: string): Promise<DocsFile | undefined>;
}

/**
 * What the pages may do, besides what every answer says: run and show the files here, and call this API. Nothing from
 * elsewhere, nothing that stands in the page itself, and no `eval`.
 */
export const pageHeaders = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    // Icons, in the style sheet of Swagger UI.
    'img-src data:',
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
} as const;

const style = `
body { margin: 0; color: #222; background: #fff; font: 16px/1.5 system-ui, sans-serif; }
header.docs, main.docs { max-width: 90rem; margin: 0 auto; padding: 1rem 1.5rem; }
header.docs { display: flex; flex-wrap: wrap; gap: 1.5rem; border-bottom: 1px solid #ccc; }
main.docs table { border-collapse: collapse; width: 100%; }
main.docs th, main.docs td { padding: .3rem 1rem .3rem 0; border-bottom: 1px solid #ddd; text-align: left;
  vertical-align: top; }
main.docs section { margin: 2.5rem 0; }
main.docs pre { max-height: 32rem; padding: 1rem; overflow: auto; background: #f4f4f4; font-size: 14px; }
main.docs code { font-size: 14px; }
a { color: #0b57a4; }
a:focus-visible, summary:focus-visible { outline: 3px solid #0b57a4; outline-offset: 2px; }
`;

/** No badge of a validator: it would ask one on the web. */
const start = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#api',
  presets: [SwaggerUIBundle.presets.apis],
  layout: 'BaseLayout',
  deepLinking: true,
  displayOperationId: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
`;

const css = 'text/css; charset=utf-8';
const javascript = 'text/javascript; charset=utf-8';
const sources: ReadonlyMap<string, { type: string; read(): Promise<Buffer> }> = new Map([
  ['docs.css', { type: css, read: async () => Buffer.from(style) }],
  ['start.js', { type: javascript, read: async () => Buffer.from(start) }],
  [
    'swagger-ui.css',
    { type: css, read: () => readFile(new URL(import.meta.resolve('swagger-ui-dist/swagger-ui.css'))) },
  ],
  [
    'swagger-ui-bundle.js',
    {
      type: javascript,
      read: () => readFile(new URL(import.meta.resolve('swagger-ui-dist/swagger-ui-bundle.js'))),
    },
  ],
]);

const compress = promisify(gzip);

/** Each is read, and compressed, for the first who asks for it. */
export function createDocsFiles(): DocsFiles {
  const known = new Map<string, Promise<DocsFile>>();
  return {
    async get(name) {
      const source = sources.get(name);
      if (source === undefined) return undefined;
      const file = known.get(name) ?? load(source);
      known.set(name, file);
      // One that could not be read is read again.
      file.catch(() => known.delete(name));
      return file;
    },
  };
}

async function load({ type, read }: { type: string; read(): Promise<Buffer> }): Promise<DocsFile> {
  const body = await read();
  const digest = createHash('sha256').update(body).digest('base64url').slice(0, 22);
  return {
    body,
    gzip: await compress(body),
    // Asked for each time, as the page that needs it may be of a replica with another version.
    headers: { 'Content-Type': type, ETag: `W/"${digest}"`, 'Cache-Control': 'no-cache' },
  };
}
