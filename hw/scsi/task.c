/*
 * Sense data in saved states.
 */
#include "hw/scsi/task.h"

const StateField scsi_sense_fields[] = {
    STATE_U8(ScsiSense, key), STATE_U8(ScsiSense, asc), STATE_U8(ScsiSense, ascq), STATE_END,
};
