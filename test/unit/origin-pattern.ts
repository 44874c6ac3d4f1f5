import { test } from 'tap'
import { whyNoOriginMatches } from '../../src/websocket/origin-pattern.js'
import { isOriginAllowed } from '../../src/websocket/origin.js'

const never: Array<[pattern: RegExp, why: RegExp]> = [
  [/https:\/\/example\.com\//, /no path, and no slash at its end/],
  [/^https:\/\/(a|b)\.example\.com\/$/, /slash at its end/],
  [/https:\/\/example\.com\/.*/, /no path/],
  [/https?:\/\/\w+\.example\.com\/app/, /no path/],
  [/.*example\.com\/.*/, /no path/],
  [/\/\/example\.com/, /no path/],
  [/^https:\/\/$/, /slash at its end/],
  [/^example\.com$/, /no scheme/],
  [/(\w+\.)?example\.com(:\d+)?/, /no scheme/],
  [/[a-z-]+\.example\.com/, /no scheme/],
  [/^localhost:\d+$/, /no scheme/],
  [/^https:example\.com$/, /no scheme/],
  [/https:\/\/Example\.com/, /the origin is https:\/\/example\.com/],
  [/https?:\/\/(\w+\.)?Example\.com/, /lower case/],
  [/HTTPS:\/\/example\.com/, /the origin is https:\/\/example\.com/],
  [/https:\/\/example\.com:443/, /the origin is https:\/\/example\.com$/],
  [/https:\/\/.*\.example\.com:443/i, /default port/],
  [/http:\/\/.*\.example\.com:80$/, /default port/],
  [/https:\/\/user@example\.com/, /no user/],
  [/https:\/\/.+\?app=1/, /query/],
  [/https:\/\/a\.example\.com\/|https:\/\/b\.example\.com\//, /slash at its end/]
]

for (const [pattern, why] of never) {
  test(`no origin can match ${pattern}`, t => {
    t.match(whyNoOriginMatches(pattern), why)
    t.end()
  })
}

const nestedClasses = 'https://[[a-z]--[b]]+\\.example\\.com'

const can: Array<[pattern: RegExp, origin: string]> = [
  [/https:\/\/example\.com/, 'https://example.com'],
  [/^https?:\/\/(?:[\w-]+\.)*example\.com(?::\d+)?$/, 'http://a.b.example.com:8080'],
  [/https:\/\/EXAMPLE\.com/i, 'https://example.com'],
  [/https:\/\/example\.com\/?/, 'https://example.com'],
  [/https:\/\/example\.com(\/.*)?/, 'https://example.com'],
  [/https:\/\/example\.com\/*/, 'https://example.com'],
  [/https:\/\/example\.com\/{0,1}/, 'https://example.com'],
  [/https:\/{2}example\.com/, 'https://example.com'],
  [/https:\/+example\.com/, 'https://example.com'],
  [/(.+\.)?example\.com/, 'https://a.example.com'],
  [/.*\.Example\.com/, 'app://my.Example.com'],
  [/.*/, 'https://example.com'],
  [/\S+/, 'https://example.com'],
  [/[^@]+/, 'https://example.com'],
  [/https:\/\/example\u002Ecom/, 'https://example.com'],
  [/https:\/\/(e)xampl\1\.com/, 'https://example.com'],
  [/\x68ttps:\x2F\x2fexample\.com/, 'https://example.com'],
  [/\D+/, 'https://example.com'],
  [/https:\/\/[A-Za-z]+\.example\.com/, 'https://a.example.com'],
  [/https?:\/\/example\.com:443/, 'http://example.com:443'],
  [/https:\/\/example\.com:8443/, 'https://example.com:8443'],
  [/http:\/\/example\.com:443/, 'http://example.com:443'],
  [/https:\/\/example\.com\/|https:\/\/example\.com/, 'https://example.com'],
  [/(?<scheme>https):\/\/example\.com/, 'https://example.com'],
  [/https:(\/)\1example\.com/, 'https://example.com'],
  [/https:\/\/\[::1\](:\d+)?/, 'https://[::1]:8080'],
  [/capacitor:\/\/localhost/, 'capacitor://localhost'],
  [/chrome-extension:\/\/[a-p]{32}/, `chrome-extension://${'a'.repeat(32)}`],
  [/https:\/\/\p{L}+\.example\.com/u, 'https://a.example.com'],
  [/https:\/\/(?!evil\/)[a-z]+\.example\.com/, 'https://a.example.com'],
  [/\bhttps:\/\/\bexample\.com\b/, 'https://example.com'],
  [new RegExp(nestedClasses, 'v'), 'https://a.example.com']
]

for (const [pattern, origin] of can) {
  test(`an origin can match ${pattern}`, t => {
    t.ok(isOriginAllowed(origin, { name: 'other.example', localAddress: undefined, isForwarded: false, allowed: undefined }, [pattern]), origin)
    t.equal(whyNoOriginMatches(pattern), undefined)
    t.end()
  })
}
