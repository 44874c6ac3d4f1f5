const time = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' })

/** What a notification says, and when it has arrived. */
export function Content ({ notification: { content, receivedAt, redelivered } }) {
  const at = new Date(receivedAt)
  return (
    <div>
      <p className='content'>{typeof content === 'string' ? content : JSON.stringify(content)}</p>
      <p className='meta'>
        <time dateTime={at.toISOString()}>{time.format(at)}</time>
        {redelivered && <span className='mark'>perhaps seen before</span>}
      </p>
    </div>
  )
}
