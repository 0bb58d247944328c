// The process of one replica in production: settings, start, signals. It brings up no store of its own.
import { reasonOf } from './availability.ts';
import { startController } from './controller.ts';
import { hideCredentialsInText } from './credentials.ts';
import { loadSettings, SettingsError } from './settings.ts';
import { openTelemetry } from './telemetry.ts';

try {
  const settings = loadSettings();
  const controller = await startController(settings, { openTelemetry });
  const faults = await controller.faults();
  if (faults.length === 0) console.error(`Moolai Controller ready at ${controller.url}`);
  else console.error(`Moolai Controller listens at ${controller.url}, not ready yet: ${faults.join(', ')}`);

  let signals = 0;
  const stop = async (signal: NodeJS.Signals) => {
    signals += 1;
    if (signals > 1) process.exit(1);
    console.error(`${signal}: stopping, at most ${settings.shutdown.deadlineMs} ms`);
    // Nothing may keep the process longer than its deadline, whatever a store does.
    setTimeout(() => process.exit(1), settings.shutdown.deadlineMs + 2_000).unref();
    const startedAt = performance.now();
    await controller.stop();
    console.error(`Stopped after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, (received) => {
      stop(received).catch((error: unknown) => {
        console.error('The stop failed:', error);
        process.exit(1);
      });
    });
} catch (error) {
  if (error instanceof SettingsError) console.error(`The settings cannot be used:\n${error.message}`);
  else console.error(`The controller could not start: ${hideCredentialsInText(reasonOf(error))}`);
  process.exit(1);
}
