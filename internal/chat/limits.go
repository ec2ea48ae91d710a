package chat

import "time"

// Shared limits. All peers must agree: changing one changes a protocol major.
const (
	// MaxFrame stops a peer from making us allocate: checked before allocation.
	// The largest blob (63 KiB) and its envelope fit.
	MaxFrame = 64 << 10
	// MaxDepth and MaxRepeated stop parse bombs (N9); no honest frame nests
	// deeper than 5 or lists more than 256.
	MaxDepth    = 16
	MaxRepeated = 512
	// MaxText is the longest text of one message: about two printed pages.
	MaxText = 4 << 10
	// MaxRequestRunes bounds a stranger's first words (M10).
	MaxRequestRunes = 280
	// MaxReaction fits the longest ZWJ emoji sequences (bytes).
	MaxReaction = 64
	// MaxDisplayName is in bytes; 32 grapheme clusters fit.
	MaxDisplayName = 128

	// MaxRecord is the size of one DHT record: a full device record is 2.9 KB
	// without addresses.
	MaxRecord = 4 << 10
	// RecordLife bounds how long a stale address misleads (D5).
	RecordLife = 48 * time.Hour
	// ClockSlack forgives clocks that disagree.
	ClockSlack = 10 * time.Minute
	// MaxDeviceAddrs keeps a device record under MaxRecord.
	MaxDeviceAddrs     = 8
	MaxDeviceAddrBytes = 900
	// MaxDevices bounds the fan-out of one message.
	MaxDevices = 8
	// MaxRevoked is how many revoked devices a manifest still names.
	MaxRevoked = 8
	// ManifestLife bounds trust in a manifest whose account key is gone.
	ManifestLife = 400 * 24 * time.Hour

	// BundleLife and PrekeyLife: 14 d bundle + 14 d mail + 1 d for clocks.
	BundleLife = 14 * 24 * time.Hour
	PrekeyLife = 29 * 24 * time.Hour
	// MessageLife is how long a message waits for a receipt.
	MessageLife = 14 * 24 * time.Hour
	// SkippedKeyLife covers the message life and three days of clocks and sleep.
	SkippedKeyLife = 17 * 24 * time.Hour
	// MaxSkip and MaxSkipped bound work and memory of a skip bomb (M7).
	MaxSkip    = 1000
	MaxSkipped = 2000
	// SenderLead keeps an honest sender inside MaxSkip whatever was lost.
	SenderLead = 900
	// MaxSessions per device pair, oldest out.
	MaxSessions = 5
	// KEMStepMessages and KEMStepAge schedule a fresh ML-KEM key.
	KEMStepMessages = 50
	KEMStepAge      = 24 * time.Hour
	// ReceiptIDs is how many messages one signed receipt covers.
	ReceiptIDs = 64

	// MailLife bounds what a holder keeps; an expiry further ahead than
	// MailLife and MailClock is refused (M9).
	MailLife  = 14 * 24 * time.Hour
	MailClock = 2 * time.Hour
	// MailboxLife is how long one mailbox id takes mail, MailboxGrace how long
	// it is collected after: a message's life and three days.
	MailboxLife  = 7 * 24 * time.Hour
	MailboxGrace = 17 * 24 * time.Hour
	// MailboxesAhead are announced to contacts beside the current one.
	MailboxesAhead = 3
	// RegionSize holders keep each envelope; HeldReceipts of them make HELD. 20
	// and an hour's repair give 99.98 % after a week with 30 % droppers and a
	// median life of 2 h.
	RegionSize   = 20
	RegionMax    = 40
	HeldReceipts = 12
	// RegionPerNet bounds one /24 or IPv6 /48 in a region (D2).
	RegionPerNet = 2
	// HolderAge is how long we must have known a holder for its receipt to
	// count, unless there are too few (D2).
	HolderAge = time.Hour
	// MailNonceLife bounds replay of a signed collect.
	MailNonceLife = time.Minute
	// TombstoneLife outlives every copy that repair could bring back.
	TombstoneLife = MailLife + 24*time.Hour
	// MailDeleteIDs is how many envelopes one signed delete names.
	MailDeleteIDs = 256
	// StampBits is what a stranger pays for a deposit, some 2^20 hashes; each
	// tenth of the strangers' share that is full costs a bit more (M1).
	StampBits = 20
	// SleeperLife is how long a region keeps the last record of a device that
	// no longer publishes: its bundle's and its mail's life.
	SleeperLife = 14 * 24 * time.Hour
)

// BlobSizes are the only sizes a sealed message has on the wire, in bytes.
// The last fits a 64 KiB frame.
var BlobSizes = [...]int{1 << 10, 4 << 10, 16 << 10, 63 << 10}

// Own limits may be tuned by one node without asking the others.
const (
	// A peer that says nothing costs a stream: these end it (N3).
	HandshakeTimeout = 5 * time.Second
	FirstByteTimeout = 10 * time.Second
	FrameTimeout     = 10 * time.Second
	IdleTimeout      = 30 * time.Second
	// WriteQueueFrames bounds what a slow reader makes us keep.
	WriteQueueFrames = 64

	// Connections. Between low and high water the connection manager leaves
	// everybody alone; new ones have a grace before they may be trimmed. Ten
	// times a small room's links, and 65 kB of heap an end stays under 11 MB.
	ConnsLow   = 96
	ConnsHigh  = 160
	ConnsGrace = 20 * time.Second
	// ConnsWanted is when a node stops looking for more peers; ConnsProtected
	// outbound ones are never trimmed, so a flood of inbound cannot cut us off (N2).
	ConnsWanted    = 16
	ConnsProtected = 8
	// ProtectedNets is the least number of /16s that the protected lie in (D1).
	ProtectedNets = 6
	// Anchors are the outbound peers that stood longest, dialled first after a
	// restart: who fills our lists in the meantime cannot replace all (D1).
	Anchors = 4
	// FeelerEvery is how often a node in a new network is dialled (D1).
	FeelerEvery = 2 * time.Minute
	// ConnsInbound and the per-address caps stop connection floods. The
	// library's 8 per address refuses honest users behind one NAT (N2).
	ConnsInbound     = 128
	ConnsTotal       = 320
	ConnsPerPeerIn   = 2 // one direct, one relayed
	ConnsPerPeer     = 8 // parallel dials of one device's addresses
	ConnsPerIPv4     = 32
	ConnsPerIPv4Net  = 64  // per /24
	ConnsPerIPv6Site = 32  // per /56
	ConnsPerIPv6Net  = 128 // per /48
	ConnRate         = 2   // new per second and address
	ConnBurst        = 64
	// Streams stop N1: a peer gets 8 of one protocol, whatever it opens.
	StreamsInbound         = 1024
	StreamsPerPeer         = 64
	StreamsPerProtocol     = 256
	StreamsPerProtocolPeer = 8
	// StreamsStrangers of a protocol's are for who is no contact of ours, and
	// StreamsPerAddress of these for one address: with throw-away keys it could
	// hold them all half open (N1, N3). 32 are a household of 30 nodes that all
	// call at once; the other half of a protocol's streams waits for contacts.
	StreamsStrangers  = StreamsPerProtocol / 2
	StreamsPerAddress = 32
	// StreamsPerSite is what one address has open of all protocols, so that no
	// four of them hold everything; StreamsUnnamed of them may not have said
	// yet what they want, which takes an honest peer no time.
	StreamsPerSite = StreamsInbound / 4
	StreamsUnnamed = StreamsPerSite / 4
	// NetMemory and NetMemoryPerPeer bound what streams may buffer.
	NetMemory        = 128 << 20
	NetMemoryPerPeer = 8 << 20
	// PeerAddrs, PeerAddrBytes and UnconnectedAddrs stop address-book stuffing (N5).
	PeerAddrs        = 16
	PeerAddrBytes    = 2 << 10
	UnconnectedAddrs = 5000
	UnconnectedLife  = 30 * time.Minute
	// DialsPerIP a minute after DialBurst, at each address that does not answer
	// (N7). The burst is a direct try and three of hole punching, and room.
	DialsPerIP = 3
	DialBurst  = 6
	// DialTimeout bounds one Open, all addresses and the handshake included.
	DialTimeout = 15 * time.Second
	// RejoinMin and RejoinMax are the jittered waits between tries to find
	// peers while fewer than ConnsWanted are connected.
	RejoinMin = time.Second
	RejoinMax = 5 * time.Minute

	// DHTRecords and DHTBytes stop D4: the strangers' part of our memory.
	DHTRecords = 50_000
	DHTBytes   = 64 << 20
	// DHTNewKeys per hour and /24 after DHTNewBurst; renewals are free.
	DHTNewKeys  = 64
	DHTNewBurst = 512
	// DHTRegionFactor refuses keys further off than this many region radii.
	DHTRegionFactor = 4
	// DHTRequests per second and peer after DHTRequestBurst (N8).
	DHTRequests     = 20
	DHTRequestBurst = 200
	// DHTPeersPerIP times these paces are one address's: a household's nodes
	// behind one router, and no gain in making up peers.
	DHTPeersPerIP = 4
	// DHTMinAsked peers, or all there are, must answer before a record counts
	// as absent, and must take one before it counts as published (D3).
	DHTMinAsked = 8
	// SmallNetwork is where diversity and distance rules would only exclude.
	SmallNetwork = 40
	// TablePerNet and BucketPerNet bound one /24 or /48 in the table (D1).
	TablePerNet  = 3
	BucketPerNet = 2
	// TableInserts a minute enter one bucket of the table, after a first fill (D6).
	TableInserts = 10
	// LookupTimeout ends a lookup whose peers do not answer.
	LookupTimeout = 30 * time.Second
	// LookupQuiet is how long silent nodes hold up a lookup that has an answer
	// and heard DHTMinAsked nodes: ten round trips across the world.
	LookupQuiet = time.Second
	// MaxStrangers caps each map keyed by peers or networks we do not know.
	MaxStrangers = 4096

	// RelayReservations and the circuit limits keep a public node's relaying
	// cheap: enough for a hole punch and a few messages (N6).
	RelayReservations = 16
	RelayBytes        = 128 << 10
	RelayTime         = 2 * time.Minute
	// AutoNATPerPeer dial-backs a minute (N6, N7).
	AutoNATPerPeer = 1

	// PublishEvery renews our DHT records well inside RecordLife.
	PublishEvery = 12 * time.Hour
	// RecordCache is how long a stale record is shown as "last known".
	RecordCache = 30 * 24 * time.Hour

	// DMBurst and DMPace let a person paste and a bot stutter, and stop a
	// contact from filling the disk; contacts marked trusted are free.
	DMBurst = 200
	DMPace  = 100 * time.Millisecond // one message each
	// DMFrameBurst and DMFramePace bound what one device makes us judge on its
	// streams, whatever comes of it: garbage, blobs again, READ receipts, each a
	// signature or a write. Twice the pace of messages, so that an honest sender
	// has room for what it sends again.
	DMFrameBurst = 2 * DMBurst
	DMFramePace  = DMPace / 2
	// FirstBurst and FirstPace bound the first-contact boxes tried for a device
	// of no contact, each some 0.5 ms with its handshake. An honest stranger
	// leaves MaxRequestMessages.
	FirstBurst = 16
	FirstPace  = time.Second
	// MaxRequests is the number of strangers waiting for an answer (M10).
	MaxRequests = 20
	// MaxRequestMessages is how many messages one stranger may leave before
	// an answer.
	MaxRequestMessages = 5
	// OutboxWindow is the number of unacknowledged messages on one stream:
	// one receipt covers them.
	OutboxWindow = ReceiptIDs
	// FreshSessionEvery bounds how often a broken session is made again.
	FreshSessionEvery = time.Hour
	// SeenBlobLife covers every path a re-homed blob can take.
	SeenBlobLife = 21 * 24 * time.Hour

	// BoxEnvelopes and BoxBytes bound one mailbox on one holder; BoxContactShare
	// percent of it is for who shows its token, BoxStrangers envelopes are for
	// who pays a stamp (M1).
	BoxEnvelopes    = 1000
	BoxBytes        = 16 << 20
	BoxContactShare = 80
	BoxStrangers    = 200
	// HolderBytes is what a holder gives strangers in all, HolderDiskFree the
	// percent of its disk that stays free whatever it gave, HolderPerNet what
	// one /24 or IPv6 /48 may deposit in a day (M2).
	HolderBytes    = 512 << 20
	HolderDiskFree = 20
	HolderPerNet   = 64 << 20
	// RepairEvery, with RepairJitter percent, is how often holders compare; it
	// adapts between RepairMin and RepairMax to the measured life of holders, so
	// that predicted loss in RepairHorizon stays below RepairLoss.
	RepairEvery   = time.Hour
	RepairJitter  = 10
	RepairMin     = 30 * time.Minute
	RepairMax     = 6 * time.Hour
	RepairHorizon = 7 * 24 * time.Hour
	RepairLoss    = 1e-4
	// RepairDepartures holders gone bring the repair at once.
	RepairDepartures = 4
	// AuditEvery catches a holder that signed and dropped (M3).
	AuditEvery = time.Hour
	// CollectEvery, with CollectJitter percent, beside start and reconnection.
	CollectEvery  = 15 * time.Minute
	CollectJitter = 20
	// ReputEvery is how often a sender deposits again until the receipt.
	ReputEvery = 12 * time.Hour
	// DepositTimeout is how long a holder has to answer a deposit; in a small
	// network HELD needs all that answer within it.
	DepositTimeout = 10 * time.Second

	// GroupCommitDelay and GroupCommitSize bound what one fsync gathers.
	GroupCommitDelay = 10 * time.Millisecond
	GroupCommitSize  = 64
	// DiskReserve is freed when the disk is full, so that the node can say so.
	DiskReserve = 8 << 20
	// RequestIDLife is how long an idempotency key is remembered.
	RequestIDLife = 24 * time.Hour

	// Local API bounds (A10).
	APIBody      = 1 << 20
	APIHeader    = 5 * time.Second
	APICalls     = 64
	APIRate      = 50 // calls per second and caller
	LoginCode    = 60 * time.Second
	Heartbeat    = 15 * time.Second
	WatchBatch   = 50 // rows in one Watch message
	PageSize     = 50
	MaxPageSize  = 500
	DefaultPort  = 4717
	MaxDraft     = 64 << 10
	MaxTokens    = 64
	MaxContacts  = 10_000
	MaxBlocks    = 100_000
	MaxFindHits  = 200
	MaxRemembers = 1000 // peers remembered across restarts
)
