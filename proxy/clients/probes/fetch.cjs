fetch(process.argv[2]).then((response) => process.exit(response.ok ? 0 : 1), (err) => {
  console.error(String(err.cause || err));
  process.exit(1);
});
