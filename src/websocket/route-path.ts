import type { FastifyInstance } from 'fastify'

/** How the router of an application compares paths. */
export type RouterRules = Partial<Record<'caseSensitive' | 'ignoreTrailingSlash' | 'ignoreDuplicateSlashes' | 'useSemicolonDelimiter', boolean>>

/** An absolute URL as a request target (RFC 9112 §3.2.2), up to its path. */
const ORIGIN = /^https?:\/\/[^/]*/

export function routerRules ({ initialConfig }: FastifyInstance): RouterRules {
  const { routerOptions, ...config } = initialConfig
  return { ...config, ...routerOptions }
}

/**
 * The path of a request as the router sees it: without the query, decoded.
 * @param url the request target
 */
export function pathOf (url: string, { useSemicolonDelimiter, ignoreDuplicateSlashes }: RouterRules): string {
  const raw = url.replace(ORIGIN, '').split(useSemicolonDelimiter === true ? /[?#;]/ : /[?#]/, 1)[0]!
  const path = decode(raw)
  return ignoreDuplicateSlashes === true ? path.replace(/\/{2,}/g, '/') : path
}

function decode (path: string): string {
  try {
    return decodeURI(path)
  } catch {
    return path
  }
}

/**
 * A regular expression for the paths of a route. Fastify doesn't tell which route a URL has without running it.
 * A parameter with an expression of its own matches any segment here.
 * @param url a route's URL: `/a/:b`, `/a/:b?`, `/a/*`; `::` stands for a colon
 */
export function routePattern (url: string, { caseSensitive, ignoreTrailingSlash }: RouterRules): RegExp {
  const source = url.replace(/\/:[^/]+\?$|::|:\w+(\((?:\\.|[^)])*\))?|\*|[^\w/]/g, token => {
    if (token === '*') return '.*'
    if (token === '::') return ':'
    if (token.startsWith('/:')) return '(?:/[^/]*)?'
    return token.startsWith(':') ? '[^/]+' : `\\${token}`
  })
  const slash = ignoreTrailingSlash === true || url.endsWith('/') ? '/?' : ''
  return new RegExp(`^${source.replace(/\/$/, '')}${slash}$`, caseSensitive === false ? 'i' : '')
}
