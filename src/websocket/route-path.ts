import type { FastifyInstance } from 'fastify'

/** How the router of an application compares paths. */
export type RouterRules = Partial<Record<'caseSensitive' | 'ignoreTrailingSlash' | 'ignoreDuplicateSlashes' | 'useSemicolonDelimiter', boolean>>

/** The part before the path, if the request target is an absolute URL (RFC 9112 §3.2.2). */
const ORIGIN = /^https?:\/\/[^/]*/

export function routerRules ({ initialConfig }: FastifyInstance): RouterRules {
  const { routerOptions, ...config } = initialConfig
  return { ...config, ...routerOptions }
}

/**
 * Gets the path of a request as the router sees it: without the query, and decoded.
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
 * Makes a regular expression that matches the paths of a route. Fastify can't tell which route a URL has without
 * running that route. A parameter that has its own expression matches any segment here.
 * @param url the URL of a route: `/a/:b`, `/a/:b?`, `/a/*`; `::` stands for a colon
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
