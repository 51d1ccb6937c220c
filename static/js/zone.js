// Tells the server the browser's time zone, so that times are shown in it from the next page on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.split("; ").includes(`tz=${zone}`)) {
  document.cookie = `tz=${zone}; path=/; max-age=31536000; samesite=lax`;
}
// Fields that ask for a zone and were left empty start with the browser's own.
for (const field of document.querySelectorAll("input[data-zone]")) {
  if (zone && (!field.value || field.value === "UTC")) field.value = zone;
}
