// Owns what every answer of REST tells a browser that it may do with it: hardly anything.
import { createHash } from 'node:crypto';
import type { Middleware } from 'koa';
import helmet from 'koa-helmet';
import { docsStyle } from './docs.ts';

const styleHash = createHash('sha256').update(docsStyle).digest('base64');

/**
 * No HSTS and no upgrade of insecure requests: TLS is ended before the controller, if at all, so it is whoever ends it
 * that can promise it. On a laptop there is none, and a browser would keep the promise for all of localhost.
 */
export function secureHeaders(): Middleware {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        // That of `/docs`, and no other.
        styleSrc: [`'sha256-${styleHash}'`],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    strictTransportSecurity: false,
    xFrameOptions: { action: 'deny' },
  });
}
