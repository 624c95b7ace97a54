// packages: @aws-sdk/client-s3
import { GetObjectCommand, NoSuchKey, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { row } from "../row";

export default row({ text: "hello from a step", missing: true }, async ({ standIn }) => {
  const s3 = new S3Client({
    endpoint: `${standIn}/s3`,
    region: "eu-central-1",
    forcePathStyle: true,
    credentials: { accessKeyId: "id", secretAccessKey: "secret" },
  });
  const object = { Bucket: "bucket", Key: "folder/file.txt" };
  await s3.send(new PutObjectCommand({ ...object, Body: "hello from a step" }));
  const got = await s3.send(new GetObjectCommand(object));
  const missing = await s3
    .send(new GetObjectCommand({ ...object, Key: "nothing" }))
    .catch((error) => error instanceof NoSuchKey);
  s3.destroy();
  return { text: await got.Body?.transformToString(), missing };
});
