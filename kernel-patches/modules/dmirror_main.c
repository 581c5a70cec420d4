// SPDX-License-Identifier: GPL-2.0
/*
 * Nodes and descriptors.
 */
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "dmirror.h"

#define DMIRROR_NODES	4

static unsigned long spm_addr_dev0;
module_param(spm_addr_dev0, ulong, 0444);
MODULE_PARM_DESC(spm_addr_dev0, "Physical address of 256 MiB of reserved memory for hmm_dmirror2");

static unsigned long spm_addr_dev1;
module_param(spm_addr_dev1, ulong, 0444);
MODULE_PARM_DESC(spm_addr_dev1, "Physical address of 256 MiB of reserved memory for hmm_dmirror3");

static dev_t dmirror_first;
static struct dmirror_device *dmirror_devices[DMIRROR_NODES];

static int dmirror_open(struct inode *inode, struct file *file)
{
	struct dmirror *m;
	int ret;

	m = kzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);
	if (!m)
		return -ENOMEM;
	m->device = container_of(inode->i_cdev, struct dmirror_device, cdev);
	mutex_init(&m->lock);
	xa_init(&m->leaves);
	xa_init_flags(&m->pins, XA_FLAGS_ALLOC);
	dmirror_odp_init(m);
	ret = mmu_interval_notifier_insert(&m->notifier, current->mm, 0,
					   ULONG_MAX & PAGE_MASK, &dmirror_notifier_ops);
	if (ret) {
		kfree(m);
		return ret;
	}
	file->private_data = m;
	return 0;
}

/* Pages on the device stay there: nothing of them refers to the descriptor. */
static int dmirror_release(struct inode *inode, struct file *file)
{
	struct dmirror *m = file->private_data;

	dmirror_odp_exit(m);
	dmirror_unpin_all(m);
	dmirror_table_clear(m);
	mmu_interval_notifier_remove(&m->notifier);
	dmirror_table_free(m);
	kfree(m);
	return 0;
}

/* A mapping of ordinary pages that the core does not know as anonymous or a file's. */
static int dmirror_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long addr;
	struct page *page;
	int ret;

	for (addr = vma->vm_start; addr < vma->vm_end; addr += PAGE_SIZE) {
		page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!page)
			return -ENOMEM;
		ret = vm_insert_page(vma, addr, page);
		/* The mapping holds its own reference. */
		put_page(page);
		if (ret)
			return ret;
	}
	return 0;
}

static const struct file_operations dmirror_fops = {
	.owner = THIS_MODULE,
	.open = dmirror_open,
	.release = dmirror_release,
	.mmap = dmirror_mmap,
	.unlocked_ioctl = dmirror_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

/* For whoever looks after each test whether something was left behind. */
static ssize_t pages_in_use_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct dmirror_device *device = container_of(dev, struct dmirror_device, dev);
	struct hmm_devmem_usage usage;

	hmm_devmem_get_usage(device->dm, &usage);
	return sysfs_emit(buf, "%llu\n", usage.allocated - usage.freed);
}
static DEVICE_ATTR_RO(pages_in_use);

static struct attribute *dmirror_attrs[] = {
	&dev_attr_pages_in_use.attr,
	NULL
};
ATTRIBUTE_GROUPS(dmirror);

static void dmirror_device_free(struct device *dev)
{
	struct dmirror_device *device = container_of(dev, struct dmirror_device, dev);

	dmirror_stats_exit(device);
	kfree(device);
}

static struct dmirror_device *dmirror_device_add(unsigned int unit, resource_size_t spm)
{
	struct dmirror_device *device;
	int ret;

	device = kzalloc(sizeof(*device), GFP_KERNEL);
	if (!device)
		return ERR_PTR(-ENOMEM);
	device->unit = unit;
	device->spm = spm;
	mutex_init(&device->plug_lock);
	device_initialize(&device->dev);
	device->dev.release = dmirror_device_free;
	device->dev.groups = dmirror_groups;
	device->dev.devt = MKDEV(MAJOR(dmirror_first), unit);
	ret = dmirror_stats_init(device);
	if (ret)
		goto put;
	ret = dev_set_name(&device->dev, "hmm_dmirror%u", unit);
	if (ret)
		goto put;
	ret = dma_coerce_mask_and_coherent(&device->dev, DMA_BIT_MASK(64));
	if (ret)
		goto put;

	device->dm = hmm_devmem_create("hmm_dmirror", spm ? MEMORY_DEVICE_COHERENT
							  : MEMORY_DEVICE_PRIVATE,
				       &dmirror_devmem_ops, device);
	if (!device->dm) {
		ret = -ENOMEM;
		goto put;
	}
	hmm_devmem_set_growth(device->dm, spm, DMIRROR_CHUNK_PAGES);
	ret = hmm_devmem_add_chunk(device->dm, spm, DMIRROR_CHUNK_PAGES, NULL);
	if (ret)
		goto destroy;

	/* Last: from here on somebody may open it. */
	cdev_init(&device->cdev, &dmirror_fops);
	device->cdev.owner = THIS_MODULE;
	ret = cdev_device_add(&device->cdev, &device->dev);
	if (ret)
		goto destroy;
	return device;

destroy:
	hmm_devmem_destroy(device->dm, DMIRROR_TIMEOUT);
put:
	put_device(&device->dev);
	return ERR_PTR(ret);
}

/* No descriptor is open; pages of processes may still be on the device. */
static void dmirror_device_remove(struct dmirror_device *device)
{
	cdev_device_del(&device->cdev, &device->dev);
	if (hmm_devmem_destroy(device->dm, DMIRROR_TIMEOUT))
		pr_err("hmm_dmirror%u: left memory behind that is still in use\n", device->unit);
	put_device(&device->dev);
}

static int __init dmirror_init(void)
{
	resource_size_t spm[DMIRROR_NODES] = { 0, 0, spm_addr_dev0, spm_addr_dev1 };
	unsigned int i, n = spm_addr_dev0 && spm_addr_dev1 ? DMIRROR_NODES : 2;
	int ret;

	dmirror_odp_engines = alloc_workqueue("hmm_dmirror", WQ_UNBOUND, 0);
	if (!dmirror_odp_engines)
		return -ENOMEM;
	ret = alloc_chrdev_region(&dmirror_first, 0, DMIRROR_NODES, "hmm_dmirror");
	if (ret)
		goto destroy;
	for (i = 0; i < n; i++) {
		dmirror_devices[i] = dmirror_device_add(i, spm[i]);
		if (IS_ERR(dmirror_devices[i])) {
			ret = PTR_ERR(dmirror_devices[i]);
			dmirror_devices[i] = NULL;
			goto undo;
		}
	}
	return 0;

undo:
	while (i--)
		dmirror_device_remove(dmirror_devices[i]);
	unregister_chrdev_region(dmirror_first, DMIRROR_NODES);
destroy:
	destroy_workqueue(dmirror_odp_engines);
	return ret;
}

static void __exit dmirror_exit(void)
{
	unsigned int i;

	for (i = DMIRROR_NODES; i-- > 0;)
		if (dmirror_devices[i])
			dmirror_device_remove(dmirror_devices[i]);
	unregister_chrdev_region(dmirror_first, DMIRROR_NODES);
	destroy_workqueue(dmirror_odp_engines);
}

module_init(dmirror_init);
module_exit(dmirror_exit);
MODULE_DESCRIPTION("A device that mirrors address spaces, for tests of HMM");
MODULE_LICENSE("GPL");
