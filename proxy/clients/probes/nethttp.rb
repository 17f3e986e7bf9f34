require 'net/http'
exit Net::HTTP.get_response(URI(ARGV[0])).is_a?(Net::HTTPSuccess)
