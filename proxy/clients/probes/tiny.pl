use strict;
use warnings;
use HTTP::Tiny;
my $answer = HTTP::Tiny->new(timeout => 8, verify_SSL => 1)->get($ARGV[0]);
die "$answer->{status} $answer->{reason}: $answer->{content}\n" unless $answer->{success};
