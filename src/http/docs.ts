// Owns the page that shows the REST API to a person: Swagger UI, and without scripts a list of the calls.
import { permissions } from '../access/roles.ts';
import type { MountedRoutes } from './openapi.ts';

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
  return renderPage(
    'The API of the Moolai Controller',
    ['swagger-ui.css', 'docs.css'],
    `<div id="api"></div>
<noscript><main class="docs">
${sections.join('\n')}
</main></noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>`,
  );
}

/** @param body HTML */
export function renderPage(title: string, styles: readonly string[], body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
${styles.map((name) => `<link rel="stylesheet" href="/docs/${name}">`).join('\n')}
</head>
<body>
<header class="docs">
<strong>Moolai Controller</strong>
<a href="/docs">The API</a>
<a href="/docs/events">The events of /ws</a>
<a href="/openapi.json">openapi.json</a>
<a href="/asyncapi.json">asyncapi.json</a>
</header>
${body}
</body>
</html>`;
}

export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
