// The types of files by their names, as Bun says them.

/** By extension. Others are `application/octet-stream`. */
const TYPES: Record<string, string> = {
  aac: "audio/aac",
  avif: "image/avif",
  avi: "video/x-msvideo",
  bmp: "image/bmp",
  cjs: "text/javascript;charset=utf-8",
  css: "text/css;charset=utf-8",
  csv: "text/csv",
  doc: "application/msword",
  docx: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
  epub: "application/epub+zip",
  gif: "image/gif",
  gz: "application/gzip",
  htm: "text/html;charset=utf-8",
  html: "text/html;charset=utf-8",
  ico: "image/vnd.microsoft.icon",
  ics: "text/calendar",
  jar: "application/java-archive",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  js: "text/javascript;charset=utf-8",
  json: "application/json;charset=utf-8",
  jsonld: "application/ld+json",
  jsx: "text/javascript;charset=utf-8",
  m4a: "audio/mp4",
  map: "application/json;charset=utf-8",
  md: "text/markdown",
  mjs: "text/javascript;charset=utf-8",
  mov: "video/quicktime",
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  mpeg: "video/mpeg",
  otf: "font/otf",
  pdf: "application/pdf",
  png: "image/png",
  ppt: "application/vnd.ms-powerpoint",
  rtf: "application/rtf",
  sh: "application/x-sh",
  svg: "image/svg+xml",
  tar: "application/x-tar",
  tif: "image/tiff",
  tiff: "image/tiff",
  toml: "application/toml",
  ts: "text/javascript;charset=utf-8",
  tsx: "text/javascript;charset=utf-8",
  ttf: "font/ttf",
  txt: "text/plain;charset=utf-8",
  wasm: "application/wasm",
  wav: "audio/wav",
  webm: "video/webm",
  webp: "image/webp",
  woff: "font/woff",
  woff2: "font/woff2",
  xhtml: "application/xhtml+xml",
  xls: "application/vnd.ms-excel",
  xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
  xml: "application/xml",
  yaml: "text/yaml",
  yml: "text/yaml",
  zip: "application/zip",
};

/** A type as Bun writes it. */
export function withCharset(type: string): string {
  return /^text\/(?:plain|html|css|javascript)$/.test(type) ? `${type};charset=utf-8` : type;
}

/** Returns the type of the file at a path; the type of a descriptor is not known. */
export function typeOf(place: string | number): string {
  const extension = typeof place === "string" ? /\.([^./]+)$/.exec(place)?.[1].toLowerCase() : undefined;
  return (extension !== undefined && TYPES[extension]) || "application/octet-stream";
}
