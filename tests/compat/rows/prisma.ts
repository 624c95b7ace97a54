// packages: @prisma/client, @prisma/adapter-pg
// needs: postgres
// note: with a driver adapter, as Prisma 7 wants it: its query compiler is WebAssembly in the package
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "../prisma/generated/client";
import { row } from "../row";

export default row({ found: ["hello"], counted: 1, code: "P2025" }, async ({ postgres }) => {
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: postgres }) });
  try {
    await prisma.$executeRawUnsafe('drop table if exists "Note"');
    await prisma.$executeRawUnsafe('create table "Note" (id serial primary key, text text not null)');
    await prisma.note.createMany({ data: [{ text: "hello" }, { text: "gone" }] });
    await prisma.$transaction([prisma.note.deleteMany({ where: { text: "gone" } })]);
    const found = await prisma.note.findMany({ where: { text: { startsWith: "hel" } } });
    const code = await prisma.note.update({ where: { id: 99 }, data: { text: "" } }).catch((error) => error.code);
    return { found: found.map(({ text }) => text), counted: await prisma.note.count(), code };
  } finally {
    await prisma.$disconnect();
  }
});
