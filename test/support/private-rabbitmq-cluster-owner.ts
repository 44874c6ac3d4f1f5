// Starts a private RabbitMQ cluster in a folder and prints its URLs: node --import tsx private-rabbitmq-cluster-owner.ts <folder>
import { startPrivateRabbitMQCluster } from '../../support/private-rabbitmq-cluster.js'

process.env.TMPDIR = process.argv[2]
console.log((await startPrivateRabbitMQCluster()).urls.join(' '))
