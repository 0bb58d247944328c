// The process of one replica in production: settings, start, signals. It brings up no store of its own.
import { reasonOf } from './availability.ts';
import { startController } from './controller.ts';
import { hideCredentialsInText } from './credentials.ts';
import { loadSettings, SettingsError } from './settings.ts';
import { openTelemetry } from './telemetry.ts';

try {
  const settings = loadSettings();
  const starting = startController(settings, { openTelemetry });

  // From the very start: as process 1 of a container it would not even be ended by a signal that nobody handles.
  let signals = 0;
  const stop = async (signal: NodeJS.Signals) => {
    signals += 1;
    if (signals > 1) process.exit(1);
    console.error(`${signal}: stopping, at most ${settings.shutdown.deadlineMs} ms`);
    // Nothing may keep the process longer than its deadline, whatever a store does.
    setTimeout(() => process.exit(1), settings.shutdown.deadlineMs + 2_000).unref();
    const startedAt = performance.now();
    const controller = await starting;
    await controller.stop();
    console.error(`Stopped after ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, (received) => {
      stop(received).catch((error: unknown) => {
        console.error(`The stop failed: ${tellable(error)}`);
        process.exit(1);
      });
    });

  const controller = await starting;
  const faults = await controller.faults();
  if (signals > 0) console.error(`Moolai Controller listened at ${controller.url}, and stops`);
  else if (faults.length === 0) console.error(`Moolai Controller ready at ${controller.url}`);
  else console.error(`Moolai Controller listens at ${controller.url}, not ready yet: ${faults.join(', ')}`);
} catch (error) {
  if (error instanceof SettingsError) console.error(`The settings cannot be used:\n${error.message}`);
  else console.error(`The controller could not start: ${tellable(error)}`);
  process.exit(1);
}

/** Only in words: an error of a store's may have with it what the store was told. */
function tellable(error: unknown): string {
  return hideCredentialsInText(reasonOf(error));
}
