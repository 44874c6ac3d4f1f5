import { everybody, ours } from './contenders.js'
import { quantities, type Measurement, type Quantity } from './results.js'

/** What is drawn: of the workloads that everybody takes part in, the ones that people ask for first. Less is better in each. */
export const drawn: ReadonlyArray<readonly [workload: string, quantity: Quantity]> = [
  ['many users, quorum queue', 'cpu'],
  ['many users', 'cpu'],
  ['bursts', 'cpu'],
  ['many users, fixed rate', 'p99']
]

export const themes = {
  light: { background: '#ffffff', text: '#1f2328', faint: '#59636e', other: '#c4cbd3', ours: '#0969da' },
  dark: { background: '#0d1117', text: '#f0f6fc', faint: '#9198a1', other: '#454c55', ours: '#4493f8' }
} as const
export type Theme = keyof typeof themes

const WIDTH = 760
const MARGIN = 16
/** Where bars begin, and how long the longest is: room for the name before it, and for the figure behind it. */
const BARS_AT = 210
const BAR_WIDTH = 460
const BAR_HEIGHT = 16
const BAR_DISTANCE = 22
const TITLE_HEIGHT = 30
const GROUP_DISTANCE = 16

interface Bar { readonly title: string, readonly value: number }

function bars ({ rows }: Measurement, workload: string, quantity: Quantity): Bar[] {
  return everybody.flatMap(({ title }) => {
    const value = rows.find(row => row.workload === workload && row.entrant === title)?.quantities[quantity]?.median
    return value === undefined ? [] : [{ title, value }]
  })
}

function escape (text: string): string {
  return text.replace(/[&<>]/g, character => `&#${character.charCodeAt(0)};`)
}

/** The chart as SVG. */
export function chart (measured: Measurement, theme: Theme): string {
  const colors = themes[theme]
  let y = MARGIN
  const groups = drawn.map(([workload, quantity]) => {
    const group = bars(measured, workload, quantity)
    const most = Math.max(...group.map(({ value }) => value))
    const title = `<text x="${MARGIN}" y="${y + 14}" fill="${colors.text}" font-weight="600">${escape(workload)}<tspan dx="8" fill="${colors.faint}" font-weight="400">${escape(quantities[quantity])}</tspan></text>`
    y += TITLE_HEIGHT
    const lines = group.map(({ title, value }) => {
      const length = Math.max(1, Math.round(BAR_WIDTH * value / most))
      const isOurs = title === ours.title
      const baseline = y + 13
      const line = [
        `<text x="${BARS_AT - 8}" y="${baseline}" text-anchor="end" fill="${isOurs ? colors.text : colors.faint}"${isOurs ? ' font-weight="600"' : ''}>${escape(title)}</text>`,
        `<rect x="${BARS_AT}" y="${y}" width="${length}" height="${BAR_HEIGHT}" rx="3" fill="${isOurs ? colors.ours : colors.other}"/>`,
        `<text x="${BARS_AT + length + 6}" y="${baseline}" fill="${colors.text}">${value.toPrecision(3)}</text>`
      ]
      y += BAR_DISTANCE
      return line.join('')
    })
    y += GROUP_DISTANCE
    return [title, ...lines].join('\n')
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" width="${WIDTH}" height="${y}" font-family="system-ui, -apple-system, 'Segoe UI', sans-serif" font-size="13" role="img">`,
    `<title>${escape(description(measured))}</title>`,
    `<rect width="${WIDTH}" height="${y}" rx="6" fill="${colors.background}"/>`,
    ...groups,
    '</svg>\n'
  ].join('\n')
}

/** What the chart shows, for those who can't see it. */
export function description (measured: Measurement): string {
  return drawn.map(([workload, quantity]) => {
    const figures = bars(measured, workload, quantity).map(({ title, value }) => `${title} ${value.toPrecision(3)}`)
    return `${workload}, ${quantities[quantity]}: ${figures.join('; ')}`
  }).join('. ')
}
