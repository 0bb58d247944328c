// Owns what every answer of REST tells a browser that it may do with it: hardly anything.
import type { Middleware } from 'koa';
import helmet from 'koa-helmet';

/**
 * No HSTS and no upgrade of insecure requests: TLS is ended before the controller, if at all, so it is whoever ends it
 * that can promise it. On a laptop there is none, and a browser would keep the promise for all of localhost.
 */
export function secureHeaders(): Middleware {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        // The pages of `/docs` say more, for themselves.
        defaultSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    strictTransportSecurity: false,
    xFrameOptions: { action: 'deny' },
  });
}
