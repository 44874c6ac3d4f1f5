import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { test } from 'tap'

/** Bundles and minifies a file of `src/`. */
async function bundle (entry: string) {
  const { metafile, outputFiles: [file] } = await build({
    entryPoints: [`src/${entry}`],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    external: ['react'],
    metafile: true,
    write: false
  })
  return {
    size: gzipSync(file!.contents, { level: 9 }).length,
    files: Object.keys(metafile.inputs),
    imports: Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path))
  }
}

test('the client is under 6 KiB, minified and compressed, and imports nothing but itself', async t => {
  const { size, files, imports } = await bundle('client/index.ts')
  t.comment(`${size} bytes`)
  t.ok(size < 6 * 1024, `${size} bytes`)
  t.same(files.filter(path => !path.startsWith('src/client/')), [])
  t.same(imports, [])
})

test('the components for React are under 2 KiB more, and import React alone', async t => {
  const [client, react] = await Promise.all([bundle('client/index.ts'), bundle('react/index.ts')])
  const more = react.size - client.size
  t.comment(`${more} bytes`)
  t.ok(more < 2 * 1024, `${more} bytes`)
  t.same(react.files.filter(path => !/^src\/(client|react)\//.test(path)), [])
  t.same(react.imports, ['react'])
})
