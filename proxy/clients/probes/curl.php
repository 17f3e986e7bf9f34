<?php
$call = curl_init($argv[1]);
curl_setopt($call, CURLOPT_RETURNTRANSFER, true);
if (curl_exec($call) === false) {
    fwrite(STDERR, curl_error($call));
    exit(1);
}
