// Loaded into every contender (node --import), so that all are read in the same way: from the process itself.
process.on('message', what => {
  if (what === 'end') process.exit() // not by a signal: a profile is written at the exit
  if (what !== 'cpu') globalThis.gc()
  process.send(what === 'cpu' ? process.cpuUsage() : process.memoryUsage()[what === 'memory' ? 'rss' : 'heapUsed'])
})
process.on('disconnect', () => process.exit()) // the bench has gone
process.channel.unref()
