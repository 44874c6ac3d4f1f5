// Loaded into every contender (node --import), so that all are read in the same way: from the process itself.
process.on('message', what => {
  if (what === 'end') process.exit() // not by a signal: a profile is written at the exit
  if (what === 'memory') globalThis.gc()
  process.send(what === 'memory' ? process.memoryUsage.rss() : process.cpuUsage())
})
process.channel.unref()
