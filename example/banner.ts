interface Started {
  urls: string[]
  broker: string
  held: string
}

/** Prints what one can do now. */
export function printBanner ({ urls, broker, held }: Started): void {
  console.log(`
  Open       ${urls[0]}
  With React ${urls[0]}/react/${urls.length === 1 ? '' : `\n  Instances  ${urls.join(' ')}`}
  Broker     ${broker}
  Held       ${held}
  Try        curl -H "content-type: text/plain" -d "hello world" ${urls[0]}/notify/123
`)
}
