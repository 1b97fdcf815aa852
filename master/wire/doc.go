// Package wire is how workers and the CLI talk to a master: the messages, the bytes, a Server and a Client. It is all of
// master/ that they may import. It knows no scheduler decisions, no files and no storage; what a call does is behind the
// WorkerService, ClientService and Inspector interfaces, which the master's loop implements.
//
// Calls go through net/rpc, which has no limits, deadlines, cancellation or protection from a panic, with messages in
// gob, which was not made for hostile input. So both run behind a codec of our own that checks everything it can before
// gob sees a byte.
//
// # Preamble
//
// Each side sends 32 bytes first, the client before the server; they are due within HandshakeTimeout.
//
//	offset size
//	     0    8  magic, "mlrc\r\n\r\n"
//	     8    2  lowest protocol version spoken
//	    10    2  highest protocol version spoken; the connection uses the highest that both speak
//	    12    1  client: role (1 worker, 2 client, 3 master); server: verdict (0 welcome, 1 version, 2 cluster, 3 role)
//	    13    3  zero
//	    16   16  cluster id; zero from a client that does not know it yet
//
// The server answers with its own values also when it refuses, so that the client can say what does not fit. A peer that
// begins with another magic gets no answer.
//
// # Frames
//
// After that each side sends frames. Integers are big-endian.
//
//	offset size
//	     0    4  n, length of the payload: at most MaxRequest or MaxReply bytes, checked before anything is allocated
//	     4    4  CRC-32C of the payload, checked before anything is decoded
//	     8    n  payload
//
// The payload of a request, client to server:
//
//	   0    1  1 a call, 2 give a call up
//	   1    8  number of the call, unique among the connection's calls in flight
//	   9    8  from version 2 on: the highest term that the client has heard of, 0 if of none
//	  17    1  length of the method's name, m; 0 for kind 2
//	  18    m  the method's name, "Poll"
//	18+m       the arguments in gob; nothing for kind 2
//
// The payload of a reply, server to client, in any order:
//
//	 0    8  number of the call
//	 8    2  Code; 0 is success
//	10    8  from version 2 on: the term in which the call was answered, 0 if by a master that does not lead
//	18       Code 0: the result in gob; otherwise the fault's text, in UTF-8
//
// In version 1 the frames have no terms, and what follows them stands 8 bytes further ahead.
//
// # Terms
//
// A client remembers the highest term that it has heard of, over all its connections, and says it in each request. A reply of
// a lower term does not count: the client goes to another master. A master that is told of a higher term than its own asks
// the journal whether it still leads, and stops if not. A reply is not sent when its term is over by then.
//
// A master that does not lead answers CodeNotLeader. If it knows who does, the text ends in "; the leader is HOST:PORT".
//
// Each frame describes its types anew, so it can be read by itself. A guard walks the message before gob sees it, since gob
// believes the sizes that it reads: lengths must fit, nesting and the number of values have bounds, and no memory is taken
// for what is not there. A decoder is kept for a type only while frames come with the same descriptions (see gob.go).
//
// What remains possible: a peer may make the server hold some 30 MiB for each call in flight. Limits on connections and
// calls bound this; authentication under the codec (TLS with client certificates) is the guard against a peer that means
// harm.
package wire
