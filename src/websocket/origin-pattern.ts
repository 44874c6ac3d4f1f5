import { normalizeOrigin } from '../options/normalize-origin.js'
import type { AllowedOrigins } from '../options/values.js'

/** A part of a regular expression. */
interface Part {
  /** The only character that the part can match; undefined if it can match others, or nothing. */
  readonly character?: string | undefined
  /** Whether the part can match a slash. */
  readonly takesSlash: boolean
}

const ELEMENT = /\[(?:\\[^]|[^\]\\])*\]|\\(?:[pPu]\{[^}]*\}|k<[^>]*>|x[\da-fA-F]{2}|u[\da-fA-F]{4}|c[a-zA-Z]|[1-9]\d*|[^])|[^]/y
const QUANTIFIER = /(?:[*?]|\{0[,}][\d,}]*|(\+|\{\d[\d,]*\}))\??/y

/** Characters that no origin contains (URL Standard, forbidden host code points). */
const FORBIDDEN = new Set('?#@ \\<>^|')

/** Finds the regular expressions of `allowedOrigins` that no origin can match, with the reason. */
export function patternsWithoutMatch (allowed: AllowedOrigins | undefined): Array<{ pattern: string, why: string }> {
  if (typeof allowed !== 'object') return []
  return allowed.filter(entry => entry instanceof RegExp).flatMap(pattern => {
    const why = whyNoOriginMatches(pattern)
    return why === undefined ? [] : [{ pattern: String(pattern), why }]
  })
}

/**
 * Explains why no origin can match a regular expression of `allowedOrigins`. An origin is in lower case. It has no
 * path, no slash at its end and no default port. The expression must match the whole origin.
 * @returns undefined if an origin can match, or if that isn't certain
 */
export function whyNoOriginMatches ({ source, flags }: RegExp): string | undefined {
  if (flags.includes('v')) return undefined // its classes may be nested, which `parse` does not support
  const ignoresCase = flags.includes('i')
  const branches = parse(source, ignoresCase ? 'i' : '')
  const scheme = branches.length === 1 ? /^\^?(https?)(\\?\??):/.exec(source) : null
  const reasons = branches.map(parts => whyNotParts(parts, ignoresCase) ?? whyNotWeb(parts, scheme, ignoresCase))
  return reasons.includes(undefined) ? undefined : reasons[0]
}

/** Splits an expression into alternatives, and each alternative into parts. A group in parentheses is one part. */
function parse (source: string, flags: string): Part[][] {
  const branches: Part[][] = [[]]
  let depth = 0
  let groupTakesSlash = false
  let at = 0

  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at
    const found = pattern.exec(source)
    at += found?.[0].length ?? 0
    return found
  }

  while (at < source.length) {
    const element = take(ELEMENT)![0]
    if (element === '(' && depth++ === 0) groupTakesSlash = false
    else if (element === '|' && depth === 0) branches.push([])
    else if (element === ')' && --depth === 0) {
      take(QUANTIFIER)
      branches.at(-1)!.push({ takesSlash: groupTakesSlash })
    } else if (depth > 0) groupTakesSlash ||= takesSlash(element, flags)
    else if (!/^(?:[)^$]|\\[bB])$/.test(element)) {
      const part = { character: characterOf(element), takesSlash: takesSlash(element, flags) }
      const quantifier = take(QUANTIFIER)
      if (quantifier === null || quantifier[1] !== undefined) branches.at(-1)!.push(part)
      if (quantifier !== null) branches.at(-1)!.push({ takesSlash: part.takesSlash })
    }
  }
  return branches
}

function characterOf (element: string): string | undefined {
  if (element.length === 1) return element === '.' ? undefined : element
  return /^\\[^\w]$/.test(element) ? element[1] : undefined
}

/** Whether an element can match a slash. True if that is not known. */
function takesSlash (element: string, flags: string): boolean {
  if (element.startsWith('[')) return new RegExp(element, flags).test('/')
  return element === '.' || characterOf(element) === '/' || /^\\[^dwsbBtnvfr\W]/.test(element)
}

function whyNotParts (parts: Part[], ignoresCase: boolean): string | undefined {
  const text = parts.map(({ character }) => character)
  if (!parts.some(part => part.takesSlash)) return 'it has no scheme'
  if (text.some(character => character !== undefined && FORBIDDEN.has(character))) return 'an origin has no user, query or fragment'
  const slashes = text.filter(character => character === '/').length
  // Both slashes of an origin come after its first colon.
  const isPath = text.some((character, n) => character === '/' && (n === 0 || ![':', '/', undefined].includes(text[n - 1])))
  if (slashes > 2 || isPath || text.at(-1) === '/') return 'an origin has no path, and no slash at its end'
  if (text.includes(undefined)) return undefined
  const whole = ignoresCase ? text.join('').toLowerCase() : text.join('')
  const normalized = normalizeOrigin(whole)
  return normalized === whole ? undefined : normalized === undefined ? 'it is no origin' : `the origin is ${normalized}`
}

/** Checks expressions for `http:` and `https:`, whose hosts are in lower case and whose default ports are known. */
function whyNotWeb (parts: Part[], scheme: RegExpExecArray | null, ignoresCase: boolean): string | undefined {
  if (scheme === null) return undefined
  const text = parts.map(({ character }) => character ?? '*').join('')
  if (!ignoresCase && /[A-Z]/.test(text)) return 'an origin is in lower case'
  const [, name, optional] = scheme
  return optional === '' && text.endsWith(name === 'https' ? ':443' : ':80') ? 'an origin has no default port' : undefined
}
