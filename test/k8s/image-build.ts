// Owns the building of the image without Docker: the Dockerfile's own steps, in a folder in place of a root.
import { execFile } from 'node:child_process';
import { chmod, cp, link, lstat, mkdir, readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, posix, relative, sep } from 'node:path';
import { promisify } from 'node:util';
import dockerignore from '@balena/dockerignore';
import { Copy, DockerfileParser, type Instruction, type JSONInstruction } from 'dockerfile-ast';
import { z } from 'zod';

export interface Image {
  /** The folder that is its root. */
  readonly root: string;
  readonly base: string;
  readonly env: Readonly<Record<string, string>>;
  readonly workingFolder: string;
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
}

/** What a stage has become after some of its instructions. */
interface Stage {
  readonly base: string;
  readonly name: string | undefined;
  readonly root: string;
  readonly env: Record<string, string>;
  workingFolder: string;
  user: string;
  entrypoint: string[];
  command: string[];
}

const execute = promisify(execFile);
const stepWithinMs = 120_000;

/**
 * Builds the last stage below `folder`. Its base image is taken to have Node and npm, those of this process.
 * @throws for an instruction that is not known here, and with what a step said that failed
 */
export async function buildImage(options: {
  dockerfile: string;
  context: string;
  folder: string;
}): Promise<Image> {
  const { dockerfile, context, folder } = options;
  const ignored = dockerignore.default().add(await readFile(join(context, '.dockerignore'), 'utf8'));
  const stages: Stage[] = [];
  for (const instruction of DockerfileParser.parse(await readFile(dockerfile, 'utf8')).getInstructions()) {
    const name = instruction.getKeyword();
    const words = instruction.getArguments().map((word) => word.getValue());
    if (name === 'FROM') {
      const root = join(folder, `stage-${stages.length}`);
      await installNode(root);
      stages.push({
        base: words[0] ?? '',
        name: words[1]?.toUpperCase() === 'AS' ? words[2] : undefined,
        root,
        env: { PATH: `${join(root, 'usr/local/bin')}:${process.env.PATH}` },
        workingFolder: '/',
        user: 'root',
        entrypoint: [],
        command: [],
      });
      continue;
    }
    const stage = stages.at(-1);
    if (stage === undefined) throw new Error(`${name} comes before FROM`);
    await apply(stage, { name, words, instruction });
  }
  const last = stages.at(-1);
  if (last === undefined) throw new Error(`${dockerfile} has no stage`);
  return last;

  async function apply(
    stage: Stage,
    step: { name: string; words: string[]; instruction: Instruction },
  ): Promise<void> {
    const { name, words, instruction } = step;
    switch (name) {
      case 'WORKDIR':
        stage.workingFolder = posix.resolve(stage.workingFolder, words[0] ?? '');
        await mkdir(join(stage.root, stage.workingFolder), { recursive: true });
        return;
      case 'ENV':
        for (const word of words)
          stage.env[word.slice(0, word.indexOf('='))] = word.slice(word.indexOf('=') + 1);
        return;
      case 'COPY':
        return copy(stage, instruction, words);
      case 'RUN':
        await execute('sh', ['-c', instruction.getRawArgumentsContent() ?? ''], {
          cwd: join(stage.root, stage.workingFolder),
          // What a step downloads it gets as this machine gets it: by its proxies, its authorities, its npm's settings.
          env: { ...process.env, NODE_ENV: undefined, npm_config_prefer_offline: 'true', ...stage.env },
          timeout: stepWithinMs,
          maxBuffer: 2 ** 26,
        });
        return;
      case 'USER':
        stage.user = words[0] ?? '';
        return;
      case 'ENTRYPOINT':
        stage.entrypoint = execForm(instruction);
        return;
      case 'CMD':
        stage.command = execForm(instruction);
        return;
      case 'ARG':
      case 'LABEL':
      case 'EXPOSE':
        return;
      default:
        throw new Error(`the instruction ${name} is not known here`);
    }
  }

  async function copy(stage: Stage, instruction: Instruction, paths: readonly string[]): Promise<void> {
    const flags = instruction instanceof Copy ? instruction.getFlags() : [];
    const [from] = flags.filter((flag) => flag.getName() === 'from').map((flag) => flag.getValue());
    const source = from === undefined ? context : stages.find((each) => each.name === from)?.root;
    if (source === undefined || flags.length > (from === undefined ? 0 : 1))
      throw new Error(`COPY ${flags.join(' ')} ${paths.join(' ')} is not known here`);
    const target = posix.resolve(stage.workingFolder, paths.at(-1) ?? '');
    for (const path of paths.slice(0, -1)) {
      // A filter would leave out what is not there without a word.
      await lstat(join(source, path));
      const isInto = (paths.at(-1) ?? '').endsWith('/');
      await cp(join(source, path), join(stage.root, target, isInto ? posix.basename(path) : ''), {
        recursive: true,
        filter: (file) => from !== undefined || isIncluded(file),
      });
    }
  }

  function isIncluded(file: string): boolean {
    const path = relative(context, file).split(sep).join('/');
    return path === '' || !ignored.ignores(path);
  }
}

/** The base image's own. Not a symbolic link: the user of the image may not be let into this project's folder. */
async function installNode(root: string): Promise<void> {
  const node = join(root, 'usr/local/bin/node');
  await mkdir(dirname(node), { recursive: true });
  // One file system has it once.
  await link(process.execPath, node).catch(() => cp(process.execPath, node));
  await chmod(node, 0o755);
}

function execForm(instruction: Instruction): string[] {
  if (!isJson(instruction)) throw new Error(`${instruction.getKeyword()} is not known here`);
  const text = instruction.getRawArgumentsContent() ?? '';
  // The other form would put a shell in between, which keeps the signals to itself.
  return z.array(z.string()).parse(JSON.parse(text));
}

function isJson(instruction: Instruction): instruction is JSONInstruction {
  return 'getJSONStrings' in instruction;
}

/** Where a path of the image is on this machine. */
export function pathIn({ root }: Pick<Image, 'root'>, path: string): string {
  return isAbsolute(path) ? join(root, path) : path;
}
