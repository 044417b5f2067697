module hostd/tests/go-http

go 1.26
