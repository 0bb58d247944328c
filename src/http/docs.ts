// Owns the page that lists the REST API for a person, from the same routes that answer.
import { permissions } from '../access/roles.ts';
import type { MountedRoutes } from './openapi.ts';

/** Its hash is in the policy that the page is sent with. */
export const docsStyle =
  'body{font:16px system-ui;margin:2rem auto;max-width:60rem}td{padding:.2rem 1rem .2rem 0;vertical-align:top}';

/** A page that needs nothing from anywhere else. */
export function renderDocs(mounted: readonly MountedRoutes[]): string {
  const sections = mounted.map(({ prefix, routes }) => {
    const rows = routes.map(
      ({ method, path, summary, access }) =>
        `<tr><td>${method.toUpperCase()}</td><td><code>${escapeHtml(prefix + path)}</code></td>` +
        `<td>${escapeHtml(summary)}</td><td>${access === 'public' ? 'anyone' : permissions[access].join(', ')}</td></tr>`,
    );
    return `<h2>${escapeHtml(prefix === '' ? 'Process' : prefix)}</h2><table>${rows.join('')}</table>`;
  });
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Moolai Controller</title>
<style>${docsStyle}</style>
<h1>Moolai Controller</h1>
<p>What each call takes, as a schema: <a href="/openapi.json">/openapi.json</a></p>
${sections.join('\n')}
</html>`;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
