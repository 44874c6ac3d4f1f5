import Fastify from 'fastify'
import { test } from 'tap'
import { pathOf, routePattern, routerRules } from '../../src/websocket/route-path.js'

const routes = ['/', '/notification', '/a/:tenant/b', '/a/:tenant?', '/:tenant/inbox', '/files/*', '/v1::beta', '/x/:from-:to', '/img/:name.png', '/ä b', '/dir/', '/n/:id(\\d+)']
const urls = ['/', '/notification', '/notification?userId=1', '/notification/', '/Notification', '/%6eotification', '//notification', '/notifications', '/a/x/b', '/a/x/y/b', '/a', '/a/', '/a/x', '/acme/inbox', '/acme/x/inbox', '/files/', '/files/a/b', '/files', '/v1:beta', '/v1beta', '/x/1-2', '/x/12', '/img/a.png', '/img/apng', '/%C3%A4%20b', '/dir', '/dir/', '/n/7', '/%zz', 'http://host/notification', '/notification;a=1', '/notification#x']

for (const routerOptions of [{}, { caseSensitive: false }, { ignoreTrailingSlash: true }, { ignoreDuplicateSlashes: true }, { useSemicolonDelimiter: true }]) {
  test(`a path matches a route as Fastify's router does, with ${JSON.stringify(routerOptions)}`, async t => {
    for (const route of routes) {
      const app = Fastify({ routerOptions })
      app.get(route, async () => 'here')
      await app.ready()
      const rules = routerRules(app)
      const pattern = routePattern(route, rules)
      for (const url of urls) {
        // A URL with a host is injected as its path.
        const isRouted = (await app.inject(url)).body === 'here'
        const isMatched = pattern.test(pathOf(url, rules))
        // A slash at the end of a route's URL may be left out here, as it may come of a prefix.
        if (route.endsWith('/') && url === route.slice(0, -1)) t.ok(isMatched)
        // The router takes the slash away first, and finds nothing before the wildcard.
        else if (rules.ignoreTrailingSlash === true && route === '/files/*' && url === '/files/') t.ok(isMatched)
        else t.equal(isMatched, isRouted, `${route} ${url}`)
      }
      await app.close()
    }
  })
}
