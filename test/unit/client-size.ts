import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { test } from 'tap'

test('the client is under 5 KiB, minified and compressed, and imports nothing but itself', async t => {
  const { metafile, outputFiles: [file] } = await build({
    entryPoints: ['src/client/index.ts'],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    metafile: true,
    write: false
  })
  const size = gzipSync(file!.contents, { level: 9 }).length
  t.comment(`${size} bytes`)
  t.ok(size < 5 * 1024, `${size} bytes`)
  t.same(Object.keys(metafile.inputs).filter(path => !path.startsWith('src/client/')), [])
  t.same(Object.values(metafile.outputs).flatMap(({ imports }) => imports), [])
})
