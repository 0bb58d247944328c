// Owns the chart of a run of growth: a small one for each thing that was looked at, all over the same time. Plain SVG,
// with no font and no picture from elsewhere, to be read on light and on dark.
import { shorten } from '../contest.ts';
import { type PanelName, panelNames, panels, type Sample } from './samples.ts';
import { judgeAll, type Line, linesOf } from './verdict.ts';

const columns = 3;
const cell = { width: 320, height: 190 };
/** Of the plot within its cell. */
const plot = { left: 52, top: 46, width: 250, height: 108 };
/** Told apart by who sees no red or no green too, and from white as from black. */
const colors = ['#3b82c4', '#d9822b', '#7a9a2e', '#a764c9'];

const style = `
  text { font: 11px system-ui, sans-serif; fill: #3d444d; }
  .title { font-size: 12px; font-weight: 600; }
  .end { text-anchor: end; }
  .grid { stroke: #8b949e; stroke-opacity: 0.35; }
  polyline { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
  @media (prefers-color-scheme: dark) { text { fill: #c9d1d9; } }
`;

export function drawGrowth(samples: readonly Sample[]): string {
  const verdicts = judgeAll(samples);
  const seconds = samples.at(-1)?.atSeconds ?? 0;
  const width = columns * cell.width;
  const height = Math.ceil(panelNames.length / columns) * cell.height;
  const drawn = panelNames.map((panel, at) => {
    const place = `translate(${(at % columns) * cell.width} ${Math.floor(at / columns) * cell.height})`;
    const grows = !verdicts.every((verdict) => verdict.panel !== panel || verdict.flat !== false);
    return `<g transform="${place}">${drawPanel(panel, linesOf(samples, panel), seconds, grows)}</g>`;
  });
  const about = `Nine charts over ${shorten(seconds / 60)} minutes`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${about}">`,
    `<style>${style}</style>`,
    ...drawn,
    '</svg>\n',
  ].join('\n');
}

function drawPanel(panel: PanelName, lines: readonly Line[], seconds: number, grows: boolean): string {
  const { title, unit } = panels[panel];
  const most = ceilingOf(Math.max(0, ...lines.flatMap(({ points }) => points.map(([, value]) => value))));
  const x = (at: number) => plot.left + (seconds === 0 ? 0 : (at / seconds) * plot.width);
  const y = (value: number) => plot.top + plot.height * (1 - value / most);
  const right = plot.left + plot.width;
  const bottom = plot.top + plot.height;
  const grid = [0, most / 2, most].map(
    (value) =>
      `<line class="grid" x1="${plot.left}" x2="${right}" y1="${y(value)}" y2="${y(value)}"/>` +
      `<text class="end" x="${plot.left - 6}" y="${y(value) + 4}">${shorten(value)}</text>`,
  );
  const times = [0, seconds].map(
    (at) =>
      `<text ${at === 0 ? '' : 'class="end" '}x="${x(at)}" y="${bottom + 16}">${shorten(at / 60)} min</text>`,
  );
  const drawn = lines.map(({ points }, nth) => {
    const path = points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
    return `<polyline stroke="${colorOf(nth)}" points="${path}"/>`;
  });
  return [
    `<text class="title" x="8" y="18">${title}${unit === '' ? '' : `, ${unit}`}${grows ? ', which grows' : ''}</text>`,
    `<text x="8" y="34">${lines.map(({ name }, nth) => `<tspan fill="${colorOf(nth)}">■</tspan> ${readable(name)}`).join('  ')}</text>`,
    ...grid,
    ...times,
    ...drawn,
  ].join('');
}

function colorOf(nth: number): string {
  return colors[nth % colors.length] ?? '';
}

/** The next round number that nothing is above. */
function ceilingOf(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  return ([1, 1.5, 2, 3, 4, 5, 8, 10].find((step) => step * power >= value) ?? 10) * power;
}

function readable(name: string): string {
  return name.replaceAll('orchestrator_', '').replaceAll('_', ' ');
}
