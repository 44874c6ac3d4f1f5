/**
 * The largest message that is published, in bytes: what RabbitMQ 4 takes by default (`max_message_size`). The broker
 * closes the channel of whoever publishes a larger one, and with it fails everything that is unconfirmed.
 */
export const MAX_MESSAGE_BYTES = 16_777_216
