-- A device list is its account's word only. proved: the device said so itself.
ALTER TABLE pin_devices ADD COLUMN proved INTEGER NOT NULL DEFAULT 0;
-- Whoever has a session said so when it was made.
UPDATE pin_devices SET proved = 1 WHERE device IN (SELECT device FROM sessions)
  AND device IN (SELECT device FROM pin_devices GROUP BY device HAVING count(*) = 1);
