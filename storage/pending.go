package storage

// Pending names an upload that is whole but not visible. It is what a worker reports and what a master completes.
type Pending struct {
	URL    string // of the object to be
	ID     string // of the upload
	Parts  int    // number of parts
	Size   int64  // bytes in all
	CRC32C uint32 // of the whole content
	ETag   string // expected after completion, "" when the backend does not tell
}
