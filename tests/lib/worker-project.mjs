// A Worker project as Cloudflare's templates lay it out (tests/fixtures/worker-project), in a folder of its own with
// its dependencies linked, ready for `dione dev`, `dione deploy` or `wrangler deploy`.
import { cp, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { repo, tempDir } from './server.mjs';

/** Copies the project into `folder` (default: a new one that ends with `owner`) and returns that folder. */
export async function copyWorkerProject(owner, folder) {
  folder ??= await tempDir(owner, 'dione-project-');
  await cp(join(repo, 'tests/fixtures/worker-project'), folder, { recursive: true });
  await mkdir(join(folder, 'node_modules'), { recursive: true });
  await symlink(join(repo, 'tests/node_modules/hono'), join(folder, 'node_modules/hono'));
  return folder;
}
