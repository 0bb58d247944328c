// Owns the chart of the aims: how far each is reached, as an SVG that needs nothing else.
import type { ContestResult } from './contest.ts';
import { shorten } from './contest.ts';
import { tellAim } from './report.ts';
import { judge } from './statistics.ts';

const row = { height: 22, bar: 12 };
const width = 860;
const labelWidth = 470;
/** The bars' scale, in aims: whoever is further ends here. */
const widest = 2;
const top = 34;

/** A bar for each aim: at the line it is just reached, beyond it there is more than was wanted. */
export function renderChart(results: readonly ContestResult[]): string {
  const bars = results.flatMap((result) =>
    judge(result).flatMap(({ aim, measured, reached }) => {
      if (measured === undefined) return [];
      const { atLeast, atMost } = aim;
      const share = atLeast === undefined ? (atMost ?? 0) / measured.median : measured.median / atLeast;
      return [{ label: tellAim(result, aim), value: shorten(measured.median), share, reached }];
    }),
  );
  const scale = (width - labelWidth - 70) / widest;
  const height = top + bars.length * row.height + 10;
  const lines = bars.map(({ label, value, share, reached }, at) => {
    const y = top + at * row.height;
    const length = Math.max(1, Math.min(share, widest) * scale);
    const end = labelWidth + length + 6;
    return [
      `<text x="${labelWidth - 8}" y="${y + 11}" text-anchor="end">${escapeXml(label)}</text>`,
      `<rect x="${labelWidth}" y="${y + 1}" width="${length.toFixed(1)}" height="${row.bar}" class="${reached ? 'reached' : 'missed'}"/>`,
      `<text x="${end.toFixed(1)}" y="${y + 11}">${escapeXml(value)}</text>`,
    ].join('\n');
  });
  const aimAt = labelWidth + scale;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="How far each aim of the benchmark is reached">
<style>
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.reached { fill: #2da44e; } .missed { fill: #bf8700; } line { stroke: #57606a; stroke-dasharray: 3 3; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } line { stroke: #8b949e; } }
</style>
<text x="${aimAt}" y="16" text-anchor="middle">aim</text>
<line x1="${aimAt}" y1="22" x2="${aimAt}" y2="${height - 8}"/>
${lines.join('\n')}
</svg>
`;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
