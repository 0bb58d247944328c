// One replica of `REPLICAS=3 npm start`: a controller whose connections its primary hands to it.
import { setupWorker } from '@socket.io/sticky';
import { startController } from '../controller.ts';
import { loadSettings } from '../settings.ts';
import { openTelemetry } from '../telemetry.ts';
import { readyMessage } from './replica-message.ts';

// A terminal's Ctrl-C reaches every process of its group: when to stop is the primary's to say.
process.on('SIGINT', () => undefined);
process.on('SIGHUP', () => undefined);
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

const controller = await startController(loadSettings(), {
  async listen(_server, io) {
    setupWorker(io);
    return process.env.REPLICA_URL ?? '';
  },
  openTelemetry,
});
// Asked twice it is still one stop: a signal to the group is followed by the primary's own.
process.on('SIGTERM', () => {
  controller.stop().then(
    () => process.exit(0),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.send?.(readyMessage);
