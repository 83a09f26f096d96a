//! Promise: whatever a client may send, the sensor counts it exactly or says that it can't.
