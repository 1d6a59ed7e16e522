/*
 * Commands of an ATA disk.
 *
 * Source: ATA/ATAPI-6, clause 8 (command descriptions) and Annex A for those that older systems
 * still send. Not modelled: security, power management other than what is reported, removable
 * media, tagged queueing: IDENTIFY does not claim them, and they are aborted. TRIM, of the 7th edition (ACS), is there
 * for drives that give back what the guest does not need (discard=unmap).
 */
#include "hw/ide/internal.h"

#include "base/mem.h"

static void abort_command(IdeDrive *d)
{
    ide_fail(d, ER_ABRT);
}

/* ---- addresses ---- */

/* place - the sector that the registers name; false when it is no sector of the disk. */
static bool place(const IdeDrive *d, bool ext, uint64_t *lba)
{
    if (ext) {
        *lba = 0;
        for (unsigned n = 0; n < 3; n++) {
            *lba |= (uint64_t)d->now.lba[n] << 8 * n | (uint64_t)d->hob.lba[n] << (24 + 8 * n);
        }
        return true;
    }
    if (d->bus->device & DEV_LBA) {
        *lba = ide_lba28(d);
        return true;
    }
    *lba = ((uint64_t)(d->now.lba[1] | d->now.lba[2] << 8) * d->cur_heads + d->head) * d->cur_secs +
           d->now.lba[0] - 1u;
    return d->now.lba[0] != 0 && d->now.lba[0] <= d->cur_secs && d->head < d->cur_heads;
}

static uint64_t sector_count(const IdeDrive *d, bool ext)
{
    unsigned n = ext ? d->now.count | (unsigned)d->hob.count << 8 : d->now.count;

    return n != 0 ? n : ext ? 65536 : 256;
}

/* transfer_begin - what all reads and writes share; false when they failed. */
static bool transfer_begin(IdeDrive *d, bool ext, unsigned block, uint64_t *bytes)
{
    uint64_t lba, n = sector_count(d, ext);

    d->ext = ext;
    if (!place(d, ext, &lba) || lba >= d->sectors || n > d->sectors - lba) {
        ide_fail(d, ER_IDNF);
        return false;
    }
    d->pos = lba * IDE_SECTOR;
    d->block = block * IDE_SECTOR;
    *bytes = n * IDE_SECTOR;
    return true;
}

/* ---- reads and writes ---- */

enum { HOW_EXT = 1, HOW_MULTIPLE = 2, HOW_DMA = 4, HOW_WRITE = 8, HOW_FUA = 16 };

static void cmd_transfer(IdeDrive *d, unsigned how)
{
    uint64_t bytes;

    if (((how & HOW_MULTIPLE) && d->multiple == 0) ||
        ((how & HOW_DMA) && d->bus->dma == NULL)) {
        abort_command(d);
        return;
    }
    if (!transfer_begin(d, how & HOW_EXT, how & HOW_MULTIPLE ? d->multiple : 1, &bytes)) {
        return;
    }
    d->durable = (how & HOW_WRITE) && ((how & HOW_FUA) || !d->write_cache);
    if (how & HOW_DMA) {
        d->stream = !(how & HOW_WRITE);
        ide_dma(d, bytes, !(how & HOW_WRITE));
    } else if (how & HOW_WRITE) {
        ide_pio_out(d, bytes);
    } else {
        ide_pio_in(d, bytes);
    }
}

/* DATA SET MANAGEMENT: sectors full of ranges that are not needed any more. */
static void cmd_data_set(IdeDrive *d, unsigned how)
{
    if (d->now.feature != 1 || !blk_discards(d->blk) || d->bus->dma == NULL || d->hob.count != 0 ||
        d->now.count != 1) {
        abort_command(d);
        return;
    }
    d->ext = true;
    d->stream = false;
    ide_dma(d, IDE_SECTOR, false);
}

static void cmd_verify(IdeDrive *d, unsigned how)
{
    uint64_t bytes;

    if (transfer_begin(d, how & HOW_EXT, 1, &bytes)) {
        ide_verify(d, bytes);
    }
}

static void cmd_seek(IdeDrive *d, unsigned how)
{
    uint64_t lba;

    if (!place(d, false, &lba) || lba >= d->sectors) {
        ide_fail(d, ER_IDNF);
    } else {
        ide_end(d);
    }
}

static void cmd_flush(IdeDrive *d, unsigned how)
{
    ide_flush(d);
}

/* ---- modes ---- */

static void cmd_nothing(IdeDrive *d, unsigned how)
{
    ide_end(d);
}

static void cmd_set_multiple(IdeDrive *d, unsigned how)
{
    uint8_t n = d->now.count;

    if (n > IDE_MULTIPLE_MAX || (n & (n - 1)) != 0) {
        d->multiple = 0;
        abort_command(d);
        return;
    }
    d->multiple = n;
    ide_end(d);
}

/* INITIALIZE DEVICE PARAMETERS: the CHS translation that follows. */
static void cmd_init_params(IdeDrive *d, unsigned how)
{
    if (d->now.count == 0) {
        abort_command(d);
        return;
    }
    d->cur_secs = d->now.count;
    d->cur_heads = (uint16_t)(d->head + 1);
    ide_end(d);
}

static void cmd_features(IdeDrive *d, unsigned how)
{
    ide_set_features(d);
}

/* Power: a disk without a motor has nothing to stop but the answer to CHECK POWER MODE. */
static void cmd_standby(IdeDrive *d, unsigned how)
{
    d->standby = true;
    ide_flush(d); /* "the device shall ... write any cached data" */
}

static void cmd_idle(IdeDrive *d, unsigned how)
{
    d->standby = false;
    ide_end(d);
}

static void cmd_check_power(IdeDrive *d, unsigned how)
{
    d->now.count = d->standby ? 0x00 : 0xff;
    ide_end(d);
}

/* READ NATIVE MAX ADDRESS (EXT): there is no host protected area. */
static void cmd_native_max(IdeDrive *d, unsigned how)
{
    uint64_t last = d->sectors - 1;

    if (!(how & HOW_EXT)) {
        last = MIN(last, 0x0fffffffull);
        d->head = (uint8_t)(last >> 24 & 15);
    } else {
        d->hob = (IdeTaskFile){ .lba = { (uint8_t)(last >> 24), (uint8_t)(last >> 32),
                                         (uint8_t)(last >> 40) } };
    }
    for (unsigned n = 0; n < 3; n++) {
        d->now.lba[n] = (uint8_t)(last >> 8 * n);
    }
    ide_end(d);
}

static void cmd_identify(IdeDrive *d, unsigned how)
{
    ata_identify(d);
    ide_send(d, IDE_SECTOR);
}

static void cmd_smart(IdeDrive *d, unsigned how)
{
    ata_smart(d);
}

static void cmd_read_log(IdeDrive *d, unsigned how)
{
    ata_read_log(d);
}

/* ---- the table ---- */

typedef struct AtaCommand {
    uint8_t first, last;
    void (*run)(IdeDrive *d, unsigned how);
    uint8_t how;
} AtaCommand;

static const AtaCommand commands[] = {
    { IDE_DATA_SET, IDE_DATA_SET, cmd_data_set, HOW_EXT },
    { 0x10, 0x1f, cmd_nothing, 0 }, /* RECALIBRATE */
    { 0x20, 0x21, cmd_transfer, 0 },
    { 0x24, 0x24, cmd_transfer, HOW_EXT },
    { 0x25, 0x25, cmd_transfer, HOW_EXT | HOW_DMA },
    { 0x27, 0x27, cmd_native_max, HOW_EXT },
    { 0x29, 0x29, cmd_transfer, HOW_EXT | HOW_MULTIPLE },
    { 0x2f, 0x2f, cmd_read_log, HOW_EXT },
    { 0x30, 0x31, cmd_transfer, HOW_WRITE },
    { 0x34, 0x34, cmd_transfer, HOW_WRITE | HOW_EXT },
    { 0x35, 0x35, cmd_transfer, HOW_WRITE | HOW_EXT | HOW_DMA },
    { 0x39, 0x39, cmd_transfer, HOW_WRITE | HOW_EXT | HOW_MULTIPLE },
    { 0x3d, 0x3d, cmd_transfer, HOW_WRITE | HOW_EXT | HOW_DMA | HOW_FUA },
    { 0x40, 0x41, cmd_verify, 0 },
    { 0x42, 0x42, cmd_verify, HOW_EXT },
    { 0x70, 0x7f, cmd_seek, 0 },
    { 0x91, 0x91, cmd_init_params, 0 },
    { 0x94, 0x94, cmd_standby, 0 }, /* 94h-99h: the power commands of ATA-1 */
    { 0x95, 0x95, cmd_idle, 0 },
    { 0x96, 0x96, cmd_standby, 0 },
    { 0x97, 0x97, cmd_idle, 0 },
    { 0x98, 0x98, cmd_check_power, 0 },
    { 0x99, 0x99, cmd_standby, 0 },
    { 0xb0, 0xb0, cmd_smart, 0 },
    { 0xc4, 0xc4, cmd_transfer, HOW_MULTIPLE },
    { 0xc5, 0xc5, cmd_transfer, HOW_WRITE | HOW_MULTIPLE },
    { 0xc6, 0xc6, cmd_set_multiple, 0 },
    { 0xc8, 0xc9, cmd_transfer, HOW_DMA },
    { 0xca, 0xcb, cmd_transfer, HOW_WRITE | HOW_DMA },
    { 0xce, 0xce, cmd_transfer, HOW_WRITE | HOW_EXT | HOW_MULTIPLE | HOW_FUA },
    { 0xe0, 0xe0, cmd_standby, 0 },
    { 0xe1, 0xe1, cmd_idle, 0 },
    { 0xe2, 0xe2, cmd_standby, 0 },
    { 0xe3, 0xe3, cmd_idle, 0 },
    { 0xe5, 0xe5, cmd_check_power, 0 },
    { 0xe6, 0xe6, cmd_standby, 0 }, /* SLEEP */
    { 0xe7, 0xe7, cmd_flush, 0 },
    { 0xea, 0xea, cmd_flush, 0 },
    { 0xec, 0xec, cmd_identify, 0 },
    { 0xef, 0xef, cmd_features, 0 },
    { 0xf8, 0xf8, cmd_native_max, 0 },
};

void ata_command(IdeDrive *d)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (d->command >= commands[i].first && d->command <= commands[i].last) {
            commands[i].run(d, commands[i].how);
            return;
        }
    }
    abort_command(d);
}
