<?php
// Streams know no proxy but the one in their context.
$proxy = parse_url(getenv('http_proxy'));
$http = ['proxy' => "tcp://{$proxy['host']}:{$proxy['port']}", 'request_fulluri' => true];
if (isset($proxy['pass'])) {
    $http['header'] = 'Proxy-Authorization: Basic ' . base64_encode(urldecode("{$proxy['user']}:{$proxy['pass']}"));
}
exit(file_get_contents($argv[1], false, stream_context_create(['http' => $http])) === false ? 1 : 0);
