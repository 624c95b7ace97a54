// packages: sharp
// title: sharp
import sharp from "sharp";
import { row } from "../row";

export default row({ size: [20, 10], format: "webp", pixel: [0, 0, 255] }, async () => {
  const blue = { create: { width: 40, height: 20, channels: 3 as const, background: "#00f" } };
  const webp = await sharp(blue).resize(20).webp({ lossless: true }).toBuffer();
  const { width, height, format } = await sharp(webp).metadata();
  const { data } = await sharp(webp).raw().toBuffer({ resolveWithObject: true });
  return { size: [width, height], format, pixel: [...data.subarray(0, 3)] };
});
