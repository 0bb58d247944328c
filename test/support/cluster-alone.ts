// A process that opens a cluster and tells what it consists of, for the test that kills it.
import { openCluster } from './cluster.ts';

const { folder, postgres, redis, replicas } = await openCluster({ replicas: 1 });
// A stopped one must go as well.
replicas[0]?.pause();
process.send?.({ folder, pids: [postgres.pid, redis.pid, ...replicas.map((replica) => replica.pid)] });
setInterval(() => undefined, 60_000);
